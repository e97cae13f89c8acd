"""Keys and passwords, by the marks that their makers give them or by what they are called."""

import re
from collections.abc import Iterator

from guardrails.pii.finding import Finder, Look, Span

_NAMED = (
    r"(?:api[_\- ]?key|access[_\- ]?key|secret[_\- ]?key|client[_\- ]?secret|auth[_\- ]?token|password|passwd|passwort|kennwort)"
    r"['\"]?\s{0,3}(?:[:=]|\bis\b|\blautet\b)\s{0,3}['\"]?[^\s'\"<>\[\]]{6,}"
)
# In folded text, so without capitals.
_MARKED = (
    r"\b(?:akia|asia)[a-z0-9]{16}\b",  # AWS
    r"\bgh[pousr]_[a-z0-9]{36,}",  # GitHub
    r"\bgithub_pat_[a-z0-9_]{22,}",
    r"\bglpat-[a-z0-9_\-]{20,}",  # GitLab
    r"\bxox[abeoprs]-[a-z0-9\-]{10,}",  # Slack
    r"\bsk-[a-z0-9_\-]{20,}",  # OpenAI, Anthropic
    r"\b[sr]k_(?:live|test)_[a-z0-9]{16,}",  # Stripe
    r"\baiza[a-z0-9_\-]{35}",  # Google
    r"\bnpm_[a-z0-9]{36}",
    r"\bhf_[a-z0-9]{30,}",  # Hugging Face
    r"\bsg\.[a-z0-9_\-]{16,}\.[a-z0-9_\-]{16,}",  # SendGrid
    r"\beyj[a-z0-9_\-]{8,}\.eyj[a-z0-9_\-]{8,}\.[a-z0-9_\-]{8,}",  # a signed token
    _NAMED,
)
_BEGIN = r"-----begin [a-z ]{0,20}private key-----"
_KEY = (
    _BEGIN + r"(?:(?!-----begin)[\s\S])*?(?:-----end [a-z ]{0,20}private key-----|\Z)"
)


def _find_secrets(look: Look) -> Iterator[Span]:
    for pattern in _COMPILED:
        look.tick()
        yield from (found.span() for found in pattern.finditer(look.text))


_COMPILED = [re.compile(pattern) for pattern in (*_MARKED, _KEY)]
SECRET = Finder("[secret]", (*_MARKED, _BEGIN), _find_secrets)
