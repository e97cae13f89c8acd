"""Percentages, fractions and sums of money in a text that normalise() has folded."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple


class Quantity(NamedTuple):
    kind: Literal["percent", "fraction", "money"]
    value: float | None  # None: there is one, and it cannot be read
    start: int
    end: int


def _english() -> dict[str, int]:
    small = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    units = f"{small} sixteen seventeen eighteen nineteen".split()
    words = {word: number for number, word in enumerate(units, 1)}
    tens = enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"],
        2,
    )
    for ten, word in tens:
        words |= {word: ten * 10} | {
            word + unit: ten * 10 + words[unit] for unit in units[:9]
        }
    return words | {"hundred": 100, "zero": 0}


def _german() -> dict[str, int]:
    small = "ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf"
    teens = "dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn"
    units = f"{small} {teens}".split()
    words = {word: number for number, word in enumerate(units, 1)}
    tens = enumerate(
        [
            "zwanzig",
            "dreissig",
            "vierzig",
            "fünfzig",
            "sechzig",
            "siebzig",
            "achtzig",
            "neunzig",
        ],
        2,
    )
    for ten, word in tens:
        words |= {word: ten * 10} | {
            f"{unit}und{word}": ten * 10 + words[unit] for unit in units[:9]
        }
    return words | {"hundert": 100, "null": 0}


_WORDS = _english() | _german()
_WORD_PATTERN = "|".join(  # "twenty five" and "twenty-five" are "twentyfive"
    re.sub(r"^(\w+?ty)(\w)", r"\1[\\s-]?\2", word)
    for word in sorted(_WORDS, key=len, reverse=True)
)
_NUMBER = rf"(?:\d{{1,6}}(?:[.,]\d{{1,3}})?(?!\d)|(?:{_WORD_PATTERN})\b)"
_SIGN = r"(?:[%٪]|per\s?cent\b|percent(?:age)?\b|prozent\b|pct\b)"
# Not inside of another number: 12½ folds to 12 with 1, fraction slash, 2 behind it, and "2 5 %" may be 25.
_ALONE = r"(?<![\w.,/\u2044])(?<!\d\s)"
_PERCENT = re.compile(
    rf"{_ALONE}(?P<low>{_NUMBER})"
    rf"(?:\s?{_SIGN}?\s?(?:-|/|to|and|or|bis|und|oder)\s?(?P<high>{_NUMBER}))?"
    rf"\s?(?P<more>\+)?[\s-]{{0,2}}{_SIGN}|{_SIGN}"
)
_OPEN_ENDED = re.compile(
    r"\b(?:more than|over|above|at least|minimum of|mindestens|mehr als|über|ab)\s$"
)

_FRACTIONS = {"third": 3, "quarter": 4, "fifth": 5, "tenth": 10}
_FRACTIONS |= {
    "half": 2,
    "halb": 2,
    "hälfte": 2,
    "drittel": 3,
    "viertel": 4,
    "fünftel": 5,
    "zehntel": 10,
}
_FRACTION = re.compile(
    r"\b(?:(?P<times>an?|one|two|three|four|eine?|zwei|drei|vier)[\s-])?"
    rf"(?P<part>{'|'.join(_FRACTIONS)})(?:s|en?|er|es)?\b"
    r"|(?<![\w/\u2044.,])(?P<over>\d)[/\u2044](?P<under>[1-9]\d?)(?![\w/\u2044])"
)
_TIMES = {"two": 2, "three": 3, "four": 4, "zwei": 2, "drei": 3, "vier": 4}

_CURRENCY = r"(?:[€$£]|(?:eur|euros?|usd|chf|gbp|dollars?|pounds?|bucks|franken)\b)"
_SUM = (
    r"(?P<{0}>\d{{1,3}}(?:[.,'\s]\d{{3}}){{1,3}}(?:[.,]\d{{1,2}})?|\d{{1,9}}(?:[.,]\d{{1,2}})?)(?!\d)(?:,-)?"
    r"(?:\s?(?P<{0}k>k|tsd|thousand|tausend|grand)\b)?"
)
_MONEY = re.compile(
    rf"(?<!\w){_CURRENCY}\s?{_SUM.format('after')}|(?<![\w.,]){_SUM.format('before')}\s?{_CURRENCY}"
)


def find_percents(text: str) -> Iterator[Quantity]:
    """Every percent sign or word; of a range the larger end; None without one plain number, or open upwards."""
    for found in _PERCENT.finditer(text):
        ends = [
            _read_percent(number) for number in found.group("low", "high") if number
        ]
        readable = [end for end in ends if end is not None]
        is_open = found["more"] or _OPEN_ENDED.search(
            text, max(0, found.start() - 12), found.start()
        )
        is_read = len(readable) == len(ends) and readable and not is_open
        yield Quantity("percent", max(readable) if is_read else None, *found.span())


def find_fractions(text: str) -> Iterator[Quantity]:
    for found in _FRACTION.finditer(text):
        if found["part"]:
            share = _TIMES.get(found["times"] or "", 1) / _FRACTIONS[found["part"]]
        else:
            share = int(found["over"]) / int(found["under"])
        yield Quantity("fraction", round(share * 100, 2), *found.span())


def find_money(text: str) -> Iterator[Quantity]:
    for found in _MONEY.finditer(text):
        amount = _read_amount(found["after"] or found["before"])
        thousands = 1000 if found["afterk"] or found["beforek"] else 1
        yield Quantity("money", amount * thousands, *found.span())


def _read_percent(number: str) -> float | None:
    """Three digits behind the point may be thousands: then None."""
    if not number[0].isdigit():
        return float(_WORDS[re.sub(r"[\s-]", "", number)])
    return None if re.search(r"[.,]\d{3}$", number) else float(number.replace(",", "."))


def _read_amount(number: str) -> float:
    """1.234,56 and 1,234.56 and 1 234: a last group of one or two digits are cents."""
    whole, cents = number, ""
    if found := re.search(r"[.,](\d{1,2})$", number):
        whole, cents = number[: found.start()], found[1]
    digits = re.sub(r"\D", "", whole)
    return float(f"{digits}.{cents or 0}")
