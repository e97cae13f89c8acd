"""Cards, bank accounts and phone numbers."""

import re
from collections.abc import Callable, Iterator

import phonenumbers
from stdnum import iban, luhn

from guardrails.pii.finding import (
    BETWEEN,
    BETWEEN_LINES,
    RUN,
    RUN_OVER_LINES,
    Finder,
    Group,
    Look,
    Regions,
    Span,
    is_spoken_of,
    stands_alone,
    windows,
)

# Who issues cards: the first digits from and to, and the lengths of their numbers.
_ISSUERS: tuple[tuple[str, str, frozenset[int]], ...] = (
    ("4", "4", frozenset({13, 16, 19})),
    ("51", "55", frozenset({16})),
    ("2221", "2720", frozenset({16})),
    ("34", "34", frozenset({15})),
    ("37", "37", frozenset({15})),
    ("300", "305", frozenset({14, 16})),
    ("36", "36", frozenset({14, 16})),
    ("38", "39", frozenset({14, 16})),
    ("3528", "3589", frozenset({16, 17, 18, 19})),
    ("6011", "6011", frozenset({16, 19})),
    ("644", "659", frozenset({16, 19})),
    ("62", "62", frozenset({16, 17, 18, 19})),
    ("81", "81", frozenset({16})),
    ("2200", "2204", frozenset({16, 17, 18, 19})),
    *(
        (start, start, frozenset(range(12, 20)))
        for start in (
            "5018",
            "5020",
            "5038",
            "5893",
            "6304",
            "6759",
            "6761",
            "6762",
            "6763",
        )
    ),
)


def is_card(digits: str) -> bool:
    """An order number has no issuer or no check digit."""
    is_issued = any(
        low <= digits[: len(low)] <= high and len(digits) in lengths
        for low, high, lengths in _ISSUERS
    )
    return is_issued and luhn.is_valid(digits)


def _find_runs(
    look: Look,
    run_of: re.Pattern[str],
    is_one: Callable[[str, tuple[Group, ...]], bool],
    *,
    low: int,
    high: int,
) -> Iterator[Span]:
    after = 0
    for runs in windows(look, run_of, low=low, high=high):
        for run in runs:
            if run[0].start >= after and is_one(look.text, run):
                after = run[-1].end
                yield _with_sign(look.text, run[0].start), after
                break


def _with_sign(text: str, start: int) -> int:
    while start > 0 and text[start - 1] in "+(":
        start -= 1
    return start


def _is_card_run(text: str, run: tuple[Group, ...]) -> bool:
    digits = "".join(group.digits for group in run)
    return is_card(digits) and stands_alone(text, run[0].start, run[-1].end)


def _find_cards(look: Look) -> Iterator[Span]:
    return _find_runs(look, RUN_OVER_LINES, _is_card_run, low=12, high=19)


_IBAN_START = re.compile(r"(?<![^\W_])[a-z]{2}[0-9]{2}")
_BETWEEN_IBAN = r" \t\r\n.\-"
_IBAN_NEXT = re.compile(rf"[{_BETWEEN_IBAN}]{{0,2}}([a-z0-9])")
_SHORTEST_IBAN, _LONGEST_IBAN = 15, 34


def _find_ibans(look: Look) -> Iterator[Span]:
    after = 0
    for found in _IBAN_START.finditer(look.text):
        look.tick()
        if found.start() >= after and (end := _iban_end(look.text, found)):
            after = end
            yield found.start(), after


def _iban_end(text: str, found: re.Match[str]) -> int:
    """Where the longest number that begins here ends, or 0."""
    number, at, best = found[0], found.end(), 0
    while len(number) < _LONGEST_IBAN and (more := _IBAN_NEXT.match(text, at)):
        number, at = number + more[1], more.end()
        is_whole = len(number) >= _SHORTEST_IBAN and not text[at : at + 1].isalnum()
        if is_whole and iban.is_valid(number):
            best = at
    return best


REGIONS: Regions = frozenset(
    {"US", "GB", "DE", "AT", "CH", "FR", "ES", "IT", "NL", "PL"}
)
_LONGEST_PHONE = 15
_SPOKEN_OF = re.compile(
    r"\b(?:tel|phone|call|cell|mobile|whatsapp|sms|fax|telefon|handy|mobil|ruf|anruf|rückruf|téléphone|portable|teléfono|móvil)"
)
_DATE = re.compile(
    r"[0-9]{4}[-./][0-9]{1,2}[-./][0-9]{1,2}|[0-9]{1,2}[-./][0-9]{1,2}[-./](?:[0-9]{2}|[0-9]{4})"
)
_NORTH_AMERICA = re.compile(r"\(?[2-9][0-9]{2}\)?[-. ]{1,2}[0-9]{3}[-. ][0-9]{4}")


def _find_phones(look: Look) -> Iterator[Span]:
    regions = look.regions or REGIONS

    def is_phone(text: str, run: tuple[Group, ...]) -> bool:
        first, last = _with_sign(text, run[0].start), run[-1].end
        return stands_alone(text, first, last) and _is_phone(text, first, last, regions)

    return _find_runs(look, RUN, is_phone, low=7, high=_LONGEST_PHONE)


def _is_phone(text: str, start: int, end: int, regions: Regions) -> bool:
    raw = text[start:end]
    digits = raw.lstrip("+(")
    if raw.startswith(("+", "(+")) or digits.startswith("00"):
        return _is_valid("+" + re.sub(r"[^0-9]", "", digits).removeprefix("00"), None)
    if _DATE.fullmatch(raw):
        return False
    is_written_so = digits.startswith("0") or _NORTH_AMERICA.fullmatch(raw)
    if not is_written_so and not is_spoken_of(text, start, _SPOKEN_OF):
        return False
    return any(_is_valid(raw, region) for region in sorted(regions))


def _is_valid(raw: str, region: str | None) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(raw, region))
    except phonenumbers.NumberParseException:
        return False


CARD = Finder(
    "[card]", (rf"\b[0-9](?:[{BETWEEN_LINES}]{{0,2}}[0-9]){{11,18}}\b",), _find_cards
)
IBAN = Finder(
    "[IBAN]",
    (rf"\b[a-z]{{2}}[0-9]{{2}}(?:[{_BETWEEN_IBAN}]{{0,2}}[a-z0-9]){{11,30}}\b",),
    _find_ibans,
    sample="de89370400440532013000",
)
PHONE = Finder(
    "[phone]",
    (rf"[0-9][0-9{BETWEEN}]{{5,24}}[0-9]\b",),
    _find_phones,
    sample="0000000; +49 711 17-0; +1 415 555 2671",
)
