"""Turns text into comparable terms: folded, lightly stemmed, without filler words."""

import re
import unicodedata
from functools import lru_cache

FILLERS = """
a about also am an and any are as at available be been but by can come could did do does
either every for from give go had has have hello help hey hi how i if in into is it its just
know like many may me benz might mine more most much my need of off offer ok okay on
one or our ours please say sell shall she should show so some something such sure take tell
than thank thanks that the their them then there these they thing this those time to today
tomorrow too up us want was we were what when which who whom why will wish with would yes you
your yours buy get let s t re m ll ve d
long fast quickly soon think look interested consider wonder hear see love really actually
kind type here maybe question ask hope plan come pick now currently possible tell bit
"""
# Each line is one meaning; its first word stands for the others.
MEANINGS = """
price cost eur euro expensive rate
latest newest recent
open opening close closed
model car vehicle
electric ev
phone telephone call ring
location located situated directions
email mail
deliver delivery
trade-in trade swap exchange
finance financing financed loan credit instalment installment
lease leasing
service serviced servicing maintenance repair
warranty guarantee
book booking appointment reserve arrange schedule
range far distance
seat seats people person passenger seater
tow pull trailer
estate wagon kombi
saloon sedan
smallest small tiny
largest biggest
old age
month monthly
door home house
licence license
colour color colours
"""
ENDINGS = (("ies", "y"), ("ing", ""), ("ed", ""), ("s", ""), ("e", ""))
SHORTEST_STEM = 3

_CLASS = re.compile(r"\b([a-z]{1,2})[\s-]?(?:class|klasse)\b", re.IGNORECASE)
_HOW_MUCH = re.compile(
    r"\bhow much (?=(?:is|are|does|do|for|would|will|to|a|an|the)\b)|\bhow much\W*$"
)
_WHERE = re.compile(
    r"\bwhere (?=(?:are you|is (?:it|(?:the|your) (?:showroom|dealer\w*)|autohaus))\b)"
)
_TRADE_IN = re.compile(r"\btrad(?:e|ing)[ -]in\b")
_THOUSANDS = re.compile(r"(?<=\d)[,. ](?=\d{3}\b)")
_WORD = re.compile(r"[^\W_]+(?:[-:][^\W_]+)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:]\s+)\W*$")


def stem(word: str) -> str:
    """Cut one inflection off, and a mute e, never leaving less than three letters."""
    for ending, replacement in ENDINGS:
        if word.endswith(ending) and not word.endswith("ss"):
            shorter = word.removesuffix(ending) + replacement
            if len(shorter) >= SHORTEST_STEM:
                return (
                    shorter.removesuffix("e")
                    if len(shorter) > SHORTEST_STEM
                    else shorter
                )
    return word


MEANING_OF = {
    stem(word): stem(line.split()[0])
    for line in MEANINGS.strip().splitlines()
    for word in line.split()
}
STOP_WORDS = frozenset(FILLERS.split())
MEANT = frozenset(MEANING_OF.values())
STOP_STEMS = STOP_WORDS | {stem(word) for word in STOP_WORDS}


def fold(text: str) -> str:
    """Lower case, with one spelling for model classes, big numbers and what hangs together."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    folded = _THOUSANDS.sub("", folded)
    folded = _CLASS.sub(r"\1class", folded)
    folded = _HOW_MUCH.sub("price ", folded)
    return _TRADE_IN.sub("trade-in", _WHERE.sub("location ", folded))


def _pieces(word: str) -> list[str]:
    """Keep a hyphenated word that has a meaning of its own, and split any other."""
    return [word] if stem(word) in MEANING_OF or ":" in word else word.split("-")


@lru_cache(maxsize=20_000)
def terms(text: str) -> frozenset[str]:
    """What a text is about, as a set of terms."""
    pieces = [p for word in _WORD.findall(fold(text)) for p in _pieces(word)]
    stems = {stem(piece) for piece in pieces if piece not in STOP_WORDS} - STOP_STEMS
    return frozenset(MEANING_OF.get(each, each) for each in stems)


def _is_name(word: str, before: str) -> bool:
    if any(char.isdigit() for char in word):
        return True
    if word.isupper() and len(word) > 1:
        return True
    return word[0].isupper() and not _SENTENCE_START.search(before)


@lru_cache(maxsize=20_000)
def names(text: str) -> frozenset[str]:
    """The terms that are written like names or numbers."""
    plain = _CLASS.sub(lambda match: f"{match[1]}class".upper(), text)
    found = _WORD.finditer(_THOUSANDS.sub("", plain))
    named = (m.group() for m in found if _is_name(m.group(), m.string[: m.start()]))
    return frozenset(t for name in named for t in terms(name)) - MEANT
