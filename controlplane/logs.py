"""What processes write down is without personal data, though errors may quote some."""

import logging
from collections.abc import MutableMapping
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from guardrails.masking import Masker

QUOTING = ("event", "exception", "error", "reason")


class Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return hide(super().format(record))


def hide_personal_data(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Go over what may quote others, before structlog writes it."""
    for name in QUOTING:
        if isinstance(event.get(name), str):
            event[name] = hide(event[name])
    return event


def hide(text: str) -> str:
    return _masker().hide_or_omit(text)


@cache
def _masker() -> "Masker":
    """Addresses of machines are what people look for in logs."""
    # Loaded when there is something to write: most processes never have.
    from guardrails.masking import Masker  # noqa: PLC0415

    types = [name for name in settings.MASKING.types if name != "ip"]
    return Masker(settings.MASKING._replace(types=types))
