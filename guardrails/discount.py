"""Reads how much is offered off a price, and sees what is offered without being readable.

Read, in English and German: percentages in digits or words ("25 %", "twenty-five percent", of "10-15 %" the larger),
fractions ("a third off", "half price", "ein Viertel günstiger"), sums off a base ("€5,000 off €20,000"), prices before
and after ("€20,000, now €15,000"), and a share that is left ("pay 75 % of the list price").

Held, with percent None: a number that is not plain ("xx% off", "12½ %", "over 10 %"), a sum without its base
("€5,000 off"), and a word such as discount, rebate, Rabatt, "off the price" in a sentence without a readable number
("a huge discount"), unless the sentence denies it and has no number at all ("we cannot offer a discount").

Not a discount: a percentage of something else ("the battery is at 25 %", "2.9 % APR", "25 % less fuel"), and gifts.
A percentage belongs to the discount words of its own clause; to those of the sentence if its clause is about nothing else.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from guardrails import discount_words as words
from guardrails.discount_sums import Offer, bare_sums, lowered_prices, offered_sums
from guardrails.quantities import Quantity, find_fractions, find_money, find_percents
from guardrails.text import Normalised


class Discount(msgspec.Struct, frozen=True):
    """One offer; the span is in code points of the text that was read."""

    percent: float | None
    start: int
    end: int
    said: str


class _Clause(NamedTuple):
    start: int
    has_off: bool
    has_less: bool
    is_elsewhere: bool  # about batteries, taxes and the like, and not about a price
    is_share: bool


_HALF = 50

# "2.9" and "..." end nothing; nor does "approx. 10 %". A line ends a sentence where a list item begins.
_SENTENCE_END = re.compile(
    r"(?<!\.)\.(?=\s+[^\s\d]|\s*$)|[!?]|\n\s*\n|\n(?=[ \t]*[-*•#|])"
)
_CLAUSE_END = re.compile(
    r"[;:()\[\]]|,(?!\d)|\s-+\s|\b(?:and|but|while|whereas|und|aber)\b"
)


def read_normalised(text: str, normal: Normalised) -> list[Discount]:
    """Every discount that the text offers, as they stand in it. Takes any text, in linear time."""
    found = []
    for start, end in _spans_between(_SENTENCE_END, normal.text):
        for offer in _read_sentence(normal.text[start:end]):
            place = normal.span(start + offer.start, start + offer.end)
            found.append(Discount(offer.percent, *place, text[slice(*place)]))
    return found


def _spans_between(ends: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    cuts = [0, *(found.end() for found in ends.finditer(text)), len(text)]
    return list(pairwise(cuts))


def _read_sentence(sentence: str) -> list[Offer]:
    percents = list(find_percents(sentence))
    money = list(find_money(sentence))
    read = [
        *_offered_percents(sentence, percents),
        *_offered_fractions(sentence),
        *offered_sums(sentence, money),
        *lowered_prices(sentence, money),
    ]
    read += bare_sums(sentence, [*percents, *money])
    offers = sorted(read or _unreadable(sentence), key=lambda offer: offer.start)
    return _add_up(sentence, offers)


def _add_up(sentence: str, offers: list[Offer]) -> list[Offer]:
    """ "5 % and another 5 %" is 10 %; what cannot be read stays so."""
    if len(offers) > 1 and words.FURTHER.search(
        sentence, offers[0].end, offers[-1].start
    ):
        shares = [offer.percent for offer in offers if offer.percent is not None]
        offers.append(Offer(round(sum(shares), 2), offers[0].start, offers[-1].end))
    return offers


def _offered_percents(sentence: str, percents: Sequence[Quantity]) -> Iterator[Offer]:
    clauses = _read_clauses(sentence, percents) if percents else []
    is_offering = any(
        clause.has_off or (clause.has_less and not clause.is_elsewhere)
        for clause in clauses
    )
    starts = [clause.start for clause in clauses]
    for percent in percents:
        clause = clauses[bisect_left(starts, percent.end) - 1]
        if _is_rate(sentence, percent):
            continue
        if (
            clause.is_share
            and percent.value is not None
            and words.OF_PRICE.match(sentence, percent.end)
        ):
            yield Offer(100 - percent.value, percent.start, percent.end)
        elif clause.has_off or (is_offering and not clause.is_elsewhere):
            yield Offer(percent.value, percent.start, percent.end)


def _is_rate(sentence: str, percent: Quantity) -> bool:
    before = sentence[max(0, percent.start - 40) : percent.start]
    return bool(
        words.RATE_AFTER.match(sentence, percent.end)
        or words.RATE_BEFORE.search(before)
    )


def _read_clauses(sentence: str, percents: Sequence[Quantity]) -> list[_Clause]:
    """The clauses in order; what parts the two ends of a range ("between 10 and 15 %") parts no clause."""
    masked = list(sentence)
    for percent in percents:
        masked[percent.start : percent.end] = "0" * (percent.end - percent.start)
    spans = _spans_between(_CLAUSE_END, "".join(masked))
    return [_read_clause(sentence[start:end], start) for start, end in spans]


def _read_clause(clause: str, start: int) -> _Clause:
    has_off = bool(
        words.NOUN.search(clause)
        or words.OFF.search(words.OFF_OTHERWISE.sub("", clause))
    )
    is_priced = bool(words.PRICE.search(clause) or words.PRICE_SIGN.search(clause))
    return _Clause(
        start=start,
        has_off=has_off,
        has_less=bool(words.LESS.search(clause)),
        is_elsewhere=bool(words.TOPIC.search(clause)) and not is_priced,
        is_share=bool(words.PAY_SHARE.search(clause)),
    )


def _offered_fractions(sentence: str) -> Iterator[Offer]:
    for share in find_fractions(sentence):
        before = sentence[max(0, share.start - 40) : share.start]
        is_half = share.value == _HALF and words.HALF_PRICE.match(sentence, share.end)
        if (
            is_half
            or words.SHARE_OFF.match(sentence, share.end)
            or words.OFF_SHARE.search(before)
        ):
            clause = _read_clause(
                sentence[max(0, share.start - 60) : share.end + 60], 0
            )
            if clause.has_off or not clause.is_elsewhere:
                yield Offer(share.value, share.start, share.end)


def _unreadable(sentence: str) -> Iterator[Offer]:
    noun = words.NOUN.search(sentence)
    if noun and not _denies(sentence):
        yield Offer(None, *noun.span())


def _denies(sentence: str) -> bool:
    """Every discount word stands in a plain denial, without a number that could be an offer after all."""
    rest = words.DENIAL.sub("", sentence)
    has_number = re.search(r"\d", words.MODEL.sub("", sentence))
    return not (words.NOUN.search(rest) or words.UNLESS.search(sentence) or has_number)
