"""Numbers by which states know people. What is digits alone counts only where it is called by its name."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from stdnum.at import vnr
from stdnum.au import tfn
from stdnum.be import nn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ahv
from stdnum.cn import ric
from stdnum.cz import rc
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.ie import pps
from stdnum.in_ import aadhaar, pan
from stdnum.it import codicefiscale
from stdnum.kr import rrn
from stdnum.mx import curp
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.se import personnummer
from stdnum.tr import tckimlik
from stdnum.us import ssn
from stdnum.za import idnr as za_id

from guardrails.pii.finding import Finder, Look, Span, is_spoken_of


class Id(NamedTuple):
    """words: one of them must stand before the number, where its form alone does not tell."""

    region: str
    pattern: str
    is_valid: Callable[[str], bool]
    words: str = ""


def _is_nino(number: str) -> bool:
    return number[:2] not in {"bg", "gb", "kn", "nk", "nt", "tn", "zz"}


_US = (
    Id("US", r"[0-9]{3}-[0-9]{2}-[0-9]{4}", ssn.is_valid),
    Id("US", r"[0-9]{3} ?[0-9]{2} ?[0-9]{4}", ssn.is_valid, r"\bssn\b|social security"),
)
_STATES = (
    Id("ES", r"[0-9]{8}[\- ]?[a-z]", dni.is_valid),
    Id("ES", r"[xyz][\- ]?[0-9]{7}[\- ]?[a-z]", nie.is_valid),
    Id(
        "IT", r"[a-z]{6}[0-9]{2}[a-z][0-9]{2}[a-z][0-9]{3}[a-z]", codicefiscale.is_valid
    ),
    Id(
        "FR",
        r"[12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9ab] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
        nir.is_valid,
    ),
    Id("CH", r"756\.?[0-9]{4}\.?[0-9]{4}\.?[0-9]{2}", ahv.is_valid),
    Id("FI", r"[0-9]{6}[\-+a][0-9]{3}[0-9a-z]", hetu.is_valid),
    Id("SE", r"[0-9]{6}(?:[0-9]{2})?[\-+][0-9]{4}", personnummer.is_valid),
    Id("BR", r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", cpf.is_valid),
    Id("BE", r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}", nn.is_valid),
    Id("IN", r"[a-z]{5}[0-9]{4}[a-z]", pan.is_valid),
    Id("MX", r"[a-z]{4}[0-9]{6}[hm][a-z]{5}[a-z0-9][0-9]", curp.is_valid),
    Id(
        "GB",
        r"[a-ceghj-prstw-z][a-ceghj-nprstw-z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[a-d]",
        _is_nino,
    ),
    Id("IE", r"[0-9]{7}[a-w][a-iw]?", pps.is_valid),
    Id("CN", r"[0-9]{17}[0-9x]", ric.is_valid),
    Id("KR", r"[0-9]{6}-[0-9]{7}", rrn.is_valid),
    Id("CZ", r"[0-9]{6}/[0-9]{3,4}", rc.is_valid),
    Id(
        "DE",
        r"[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}",
        idnr.is_valid,
        r"steuer|\bidnr|\btax|\btin\b|identifikationsnummer",
    ),
    Id("NL", r"[0-9]{9}", bsn.is_valid, r"\bbsn\b|burgerservice|sofi"),
    Id("PL", r"[0-9]{11}", pesel.is_valid, r"pesel"),
    Id("DK", r"[0-9]{6}-?[0-9]{4}", cpr.is_valid, r"\bcpr\b|personnummer"),
    Id(
        "NO",
        r"[0-9]{6} ?[0-9]{5}",
        fodselsnummer.is_valid,
        r"fødselsnummer|fodselsnummer|personnummer",
    ),
    Id("AT", r"[0-9]{4} ?[0-9]{6}", vnr.is_valid, r"svnr|sozialversicherung|\bsv-"),
    Id(
        "IN",
        r"[0-9]{4}[ \-]?[0-9]{4}[ \-]?[0-9]{4}",
        aadhaar.is_valid,
        r"aadhaar|aadhar|\buid\b",
    ),
    Id("GB", r"[0-9]{3}[ \-]?[0-9]{3}[ \-]?[0-9]{4}", nhs.is_valid, r"\bnhs\b"),
    Id(
        "CA",
        r"[0-9]{3}[ \-]?[0-9]{3}[ \-]?[0-9]{3}",
        sin.is_valid,
        r"\bsin\b|social insurance",
    ),
    Id("AU", r"[0-9]{3} ?[0-9]{3} ?[0-9]{3}", tfn.is_valid, r"\btfn\b|tax file"),
    Id("TR", r"[0-9]{11}", tckimlik.is_valid, r"kimlik|\btckn?\b"),
    Id("ZA", r"[0-9]{13}", za_id.is_valid, r"\bid\b|identity"),
)


def _alone(pattern: str) -> str:
    """Not inside of a longer word or number, which is said here so that what is inside of one hides nothing."""
    return rf"(?<![^\W_]){pattern}(?![^\W_])"


def _finder(placeholder: str, ids: tuple[Id, ...], sample: str) -> Finder:
    ready = [
        (each, re.compile(_alone(each.pattern)), re.compile(each.words)) for each in ids
    ]

    def find(look: Look) -> Iterator[Span]:
        for each, pattern, words in ready:
            if look.regions and each.region not in look.regions:
                continue
            for found in pattern.finditer(look.text):
                look.tick()
                is_meant = not each.words or is_spoken_of(
                    look.text, found.start(), words
                )
                if is_meant and each.is_valid(found[0]):
                    yield found.span()

    candidates = tuple(rf"\b{each.pattern}\b" for each in ids)
    return Finder(placeholder, candidates, find, sample)


SSN = _finder("[SSN]", _US, sample="536-90-4399")
NATIONAL_ID = _finder("[id]", _STATES, sample="11010519491231002x; rssmra85t10a562s")
