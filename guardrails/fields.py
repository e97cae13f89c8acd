"""The typed fields that expressions read, each found in a text only when a rule asks for it."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import pycld2
import regex  # type: ignore[import-untyped]

from guardrails.context import Score, ScoreError
from guardrails.discount import read_normalised
from guardrails.quantities import find_money
from guardrails.subject import Subject

Plain = str | float | int | Mapping[str, float]


class MissingError(Exception):
    """Something that a rule reads was not given; the text cannot be judged."""


class Value(NamedTuple):
    """What stands in one place of a text; fields without a value could not be read."""

    fields: Mapping[str, Plain | None]
    start: int
    end: int


_CURRENCIES = {
    **dict.fromkeys(("€", "eur", "euro", "euros"), "EUR"),
    **dict.fromkeys(("$", "usd", "dollar", "dollars", "buck", "bucks"), "USD"),
    **dict.fromkeys(("£", "gbp", "pound", "pounds"), "GBP"),
    **dict.fromkeys(("chf", "franken"), "CHF"),
}
_CURRENCY = re.compile(
    "|".join(sorted(map(re.escape, _CURRENCIES), key=len, reverse=True))
)
_URL = re.compile(r"(?:https?://|www\.)[^\s/?#:<>\"'][^\s<>\"']*")
_UNREADABLE = regex.compile(r"[\p{Cc}\p{Cs}\p{Cn}]")


def discounts(subject: Subject) -> Iterator[Value]:
    for found in read_normalised(subject.text, subject.views[0].normal):
        yield Value({"discount_percent": found.percent}, found.start, found.end)


def amounts(subject: Subject) -> Iterator[Value]:
    view = subject.views[0].normal
    for found in find_money(view.text):
        name = _CURRENCY.search(view.text, found.start, found.end)
        fields = {
            "amount": found.value,
            "currency": _CURRENCIES[name[0]] if name else "",
        }
        yield Value(fields, *view.span(found.start, found.end))


def urls(subject: Subject) -> Iterator[Value]:
    view = subject.views[-1].normal  # as it was written
    for found in _URL.finditer(view.text):
        url = found[0].rstrip(".,;:!?)]}")
        fields = {"url": url, "host": _host(url)}
        yield Value(fields, *view.span(found.start(), found.start() + len(url)))


def _host(url: str) -> str | None:
    """As a browser reads it, to whom a name and password come before it, and a backslash is a slash."""
    whole = url if "://" in url else f"//{url}"
    try:
        host = urlsplit(whole.replace("\\", "/")).hostname
    except ValueError:
        return None
    return host.rstrip(".,;!)]}").removeprefix("www.") if host else None


def language(subject: Subject) -> str:
    """An ISO code, or nothing where the text is too short or mixed to tell."""
    readable = _UNREADABLE.sub(" ", subject.text)
    _, _, guesses = pycld2.detect(readable)
    code = str(guesses[0][1])
    return "" if code == "un" else code


def confidence(subject: Subject) -> float:
    given = subject.context.confidence
    if given is None or not 0 <= given <= 1:
        raise MissingError("the model did not say how sure it is")
    return float(given)


def score(subject: Subject, name: str) -> Score:
    """What came from outside. MissingError if there is nothing, or no number that can be one."""
    given = subject.context.scores.get(name)
    if given is None:
        raise MissingError(f"there is no score {name}")
    if isinstance(given, ScoreError):
        raise MissingError(f"no score {name}: {given.reason}")
    found = given if isinstance(given, Score) else Score(given)
    number = found.number
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise MissingError(f"the score {name} is no number")
    if not -1 <= number <= 1:
        raise MissingError(f"the score {name} is not between -1 and 1")
    return found


# Each of these has a value for each place in the text that has one; those of a line belong together.
MANY: dict[tuple[str, ...], Callable[[Subject], Iterator[Value]]] = {
    ("discount_percent",): discounts,
    ("amount", "currency"): amounts,
    ("url", "host"): urls,
}
ONE: dict[str, Callable[[Subject], Plain]] = {
    "language": language,
    "length": lambda subject: len(subject.text),
    "confidence": confidence,
    "tier": lambda subject: subject.context.tier,
    "workflow": lambda subject: subject.context.workflow,
    "direction": lambda subject: subject.context.direction,
}
