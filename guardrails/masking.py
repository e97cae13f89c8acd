"""Keeps personal data from those who need not know it, and puts it back for those whose it is."""

import hmac
import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import NamedTuple

import msgspec

from guardrails.compiled import compile_all
from guardrails.context import Context
from guardrails.masking_settings import MaskingSettings
from guardrails.patterns import TEXT_BUDGET_S, Budget
from guardrails.pii.types import TYPES
from guardrails.redaction import Mark, Put, StubbornError, placeholder, redact
from guardrails.rules import Rule
from guardrails.scanner import FloodError
from guardrails.subject import read

NOT_SEARCHED = "[not searched for personal data in time]"
_SIGN_LETTERS = 8  # one in 2e11 is another value's
_LABELS = "|".join(re.escape(each.placeholder[1:-1]) for each in TYPES.values())
_SIGNED = re.compile(rf"\[(?:{_LABELS}) ([a-z]{{{_SIGN_LETTERS}}})\]", re.IGNORECASE)
_ABOUT = Context(direction="input", tier="", workflow="")
_DEEPEST = 5  # a placeholder may stand in what another one stands for


class MaskingError(Exception):
    """Personal data could not be told from the rest, so the text may not be shown."""


class Masked(NamedTuple):
    """Texts as they may be shown. values: what stood there, by the letters of its placeholder."""

    texts: list[str]
    values: dict[str, str]

    def restore(self, text: str) -> str:
        """Put back what placeholders of these texts stand for; what others do stays as it is."""
        for _ in range(_DEEPEST):
            before, text = text, _SIGNED.sub(self._value, text)
            if text == before:
                break
        return text

    def _value(self, found: re.Match[str]) -> str:
        return self.values.get(found[1].lower(), found[0])


class Masker:
    """Knows personal data by its types, whatever rules say. For many threads."""

    def __init__(self, given: MaskingSettings) -> None:
        """ValueError if there is no such type or region."""
        rule = Rule(
            id="personal-data",
            name="Personal data",
            direction="input",
            kind="pii",
            action="redact",
            types=tuple(given.types),
            regions=tuple(given.regions),
        )
        (self._rule,), self._scanner = compile_all([rule], b"")
        if self._rule.problems:
            raise ValueError(self._rule.problems)
        self._secret = given.secret

    def hide(self, text: str, but: Collection[str] = ()) -> str:
        """Put its type in the place of each piece: "[card]". but: types that stay. Raises MaskingError."""
        return self._redact(text, lambda label, _: placeholder(label), but)

    def hide_or_omit(self, text: str, but: Collection[str] = ()) -> str:
        """As hide, and nothing of a text that cannot be told from personal data in time."""
        try:
            return self.hide(text, but)
        except MaskingError:
            return NOT_SEARCHED

    def mask(self, texts: Iterable[str], request_id: str) -> Masked:
        """Put its type and eight letters in the place of each piece: "[card kxqzabcd]".

        The same value has the same letters in all texts of one request, however often it is
        made, and others in every other request. Raises MaskingError.
        """
        values: dict[str, str] = {}

        def put(label: str, said: str) -> str:
            sign = self._sign(request_id, label, said)
            values[sign] = said
            return f"{placeholder(label)[:-1]} {sign}]"

        return Masked([self._redact(text, put) for text in texts], values)

    def _redact(self, text: str, put: Put, but: Collection[str] = ()) -> str:
        def find(text: str) -> list[Mark]:
            return [mark for mark in self._marks(text) if mark.label not in but]

        try:
            return redact(text, find, put)
        except (FloodError, StubbornError, TimeoutError) as error:
            raise MaskingError(str(error)) from error

    def _marks(self, text: str) -> list[Mark]:
        subject = read(text, _ABOUT, self._scanner, has_to=False)
        if subject is None:
            return []
        hits = self._rule.find(subject, Budget(TEXT_BUDGET_S))
        return [Mark(hit.start, hit.end, hit.label) for hit in hits]

    def _sign(self, *parts: str) -> str:
        digest = hmac.digest(self._secret, msgspec.json.encode(parts), "sha256")
        number = int.from_bytes(digest[:8])
        letters = (number // 26**place % 26 for place in range(_SIGN_LETTERS))
        return "".join(chr(ord("a") + letter) for letter in letters)


@lru_cache(maxsize=1)
def masker_of(given: MaskingSettings) -> Masker:
    """Return the one of this process: to make one takes half a second."""
    return Masker(given)


def placeholder_in(text: str) -> str:
    """Return the first placeholder that nothing was put back for, if there is one."""
    found = _SIGNED.search(text) if "[" in text else None
    return found[0] if found else ""
