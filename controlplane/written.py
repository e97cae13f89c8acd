"""What people write: how it is kept, and why it cannot be."""

import re

MAX_TEXT = 8_000  # that an end user gets
MAX_REASON = 2_000

_CHARACTERS_NO_TEXT_HAS = re.compile("[\x00\ud800-\udfff]")


def normalise(text: str) -> str:
    """Return the text as it is kept and sent: lines end in LF, nothing white at its end."""
    return lines(text).rstrip()


def lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def problem_of_text(text: str) -> str:
    """Return why an end user cannot get this text, or nothing."""
    if not text:
        return "The customer cannot get an empty text."
    if len(text) > MAX_TEXT:
        return f"{len(text):,} characters; {MAX_TEXT:,} may be sent."
    return _problem_of_characters(text)


def problem_of_reason(reason: str, *, is_required: bool = True) -> str:
    """Return why this reason cannot be kept, or nothing."""
    if is_required and not reason:
        return "Say why."
    if len(reason) > MAX_REASON:
        return f"Keep it under {MAX_REASON:,} characters."
    return _problem_of_characters(reason)


def _problem_of_characters(text: str) -> str:
    if _CHARACTERS_NO_TEXT_HAS.search(text):
        return "It holds a character that no text can have."
    return ""
