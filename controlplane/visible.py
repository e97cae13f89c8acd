"""Makes characters visible that hide in a text: control, zero-width and bidirectional ones."""

import unicodedata
from collections.abc import Iterator

_HIDDEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
_KEPT = {"\n", "\t"}
# Variation selectors and fillers are marks or letters, and nothing to see.
_UNSEEN = {"\u034f", "\u115f", "\u1160", "\u17b4", "\u17b5", "\u3164", "\uffa0"}


def is_hidden(char: str) -> bool:
    if char in _KEPT:
        return False
    return (
        unicodedata.category(char) in _HIDDEN
        or char in _UNSEEN
        or "\ufe00" <= char <= "\ufe0f"
        or "\U000e0100" <= char <= "\U000e01ef"
    )


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield (text, "") for what can be seen, and (code, name) for each character that cannot."""
    seen: list[str] = []
    for char in text:
        if not is_hidden(char):
            seen.append(char)
            continue
        if seen:
            yield "".join(seen), ""
            seen = []
        yield f"U+{ord(char):04X}", unicodedata.name(char, "control character").lower()
    if seen:
        yield "".join(seen), ""
