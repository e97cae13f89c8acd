"""Bytes as a person may look at them: nothing in them is followed, run or hidden."""

import msgspec

MAX_TEXT = 64 * 1024
MAX_LAID_OUT = 4 * MAX_TEXT
MAX_HEX = 4 * 1024
ROW = 16
PRINTABLE = range(0x20, 0x7F)


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """kind says how to read the text. shown: how many bytes of the whole are in it."""

    kind: str  # JSON, text or bytes
    text: str
    shown: int
    is_cut: bool


def shown(value: bytes) -> Shown:
    """JSON is laid out, its values as they were written; what is no text is shown in hex."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        part = value[:MAX_HEX]
        return _shown("bytes", hex_rows(part), part, value)
    part = value[:MAX_TEXT]
    if len(part) == len(value) and (laid_out := _laid_out(value)):
        return _shown("JSON", laid_out, part, value)
    return _shown("text", text[: len(part.decode(errors="ignore"))], part, value)


def hex_rows(value: bytes) -> str:
    """Return rows of sixteen bytes: where, in hex, and as characters."""
    rows = []
    for start in range(0, len(value), ROW):
        row = value[start : start + ROW]
        characters = "".join(chr(b) if b in PRINTABLE else "." for b in row)
        rows.append(f"{start:06x}  {row.hex(' '):<{3 * ROW - 1}}  {characters}")
    return "\n".join(rows)


def one_line(value: bytes) -> str:
    """Return a key or a header: text where it is text, escapes where it is not."""
    return value[:MAX_HEX].decode(errors="backslashreplace")


def _shown(kind: str, text: str, part: bytes, value: bytes) -> Shown:
    return Shown(kind=kind, text=text, shown=len(part), is_cut=len(part) < len(value))


def _laid_out(value: bytes) -> str:
    """Deep nesting is mostly white: what would grow too long is left as it came."""
    try:
        text = msgspec.json.format(value, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return text if len(text) <= MAX_LAID_OUT else ""
