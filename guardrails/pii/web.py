"""E-mail addresses and addresses of machines."""

import ipaddress
import re
from collections.abc import Iterable, Iterator

from guardrails.pii.finding import Finder, Look, Span, is_spoken_of

_EMAIL = re.compile(
    r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,9}(?:xn--[\w-]+|[^\W\d_]{2,})"
)
_IPV4 = re.compile(r"(?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?!\w|\.[0-9])")
_IPV6 = re.compile(
    r"(?<![\w:.])(?=[0-9a-f:]*[0-9])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:])"
)
_VERSION = re.compile(
    r"\b(?:v|ver|version(?:en|s)?|releases?|build|firmware|software|sdk|driver|treiber|update|revision|rev|stand)"
    r"[\s.:=#]{0,3}(?:is|ist|nr|no|number)?[\s.:=#]{0,3}$"
)


def _find_emails(look: Look) -> Iterator[Span]:
    """An address goes before the writing around it; then comes what has letters of such writing itself."""
    found = [each.span() for each in _EMAIL.finditer(look.text)]
    yield from found
    if look.written != look.text:
        rest = _without(look.written, found)
        yield from (each.span() for each in _EMAIL.finditer(rest))


def _without(text: str, spans: Iterable[Span]) -> str:
    parts, done = [], 0
    for start, end in spans:
        parts += [text[done:start], " " * (end - start)]
        done = end
    return "".join([*parts, text[done:]])


def _find_ips(look: Look) -> Iterator[Span]:
    """Not a version number: one that is called so, or has a part that no address has."""
    for pattern in (_IPV4, _IPV6):
        for found in pattern.finditer(look.text):
            look.tick()
            is_version = is_spoken_of(look.text, found.start(), _VERSION)
            if not is_version and _is_address(found[0]):
                yield found.span()


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


EMAIL = Finder(
    "[e-mail]",
    (r"[\w.!#$%&'*+/=?^`{|}~\-]+@(?:[\w\-]+\.)+[\w\-]{2,}",),
    _find_emails,
)
IP = Finder(
    "[IP]",
    (
        r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}",
        r"[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}",
    ),
    _find_ips,
)
