"""What processes write down is without personal data, though errors may quote some."""

import logging
from collections.abc import MutableMapping
from typing import Any

from django.conf import settings

STAYING = ("ip",)  # addresses of machines are what people look for
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
    # Loaded when there is something to write: most processes never have.
    from guardrails.masking import masker_of  # noqa: PLC0415

    return masker_of(settings.MASKING).hide_or_omit(text, STAYING)
