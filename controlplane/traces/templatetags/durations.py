"""Filters for times that are evidence: exact, with units."""

from datetime import datetime

from django import template
from django.utils import timezone

register = template.Library()

FINE_MS = 10
SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS


@register.filter
def exact(at: datetime, form: str = "time") -> str:
    """Return the time to the millisecond, and the date if asked for it."""
    local = timezone.localtime(at)
    time = f"{local:%H:%M:%S}.{local.microsecond // 1000:03}"
    return f"{local.day} {local:%b %Y} {time}" if form == "date" else time


@register.filter
def duration(ms: float) -> str:
    """Return a length of time as a person reads it: 2.1 ms, 1.41 s, 1 m 50 s, 2 h 5 m."""
    if 0 < ms < FINE_MS:
        return f"{ms:.1f} ms"
    if ms < SECOND_MS:
        return f"{ms:.0f} ms"
    if ms < MINUTE_MS:
        return f"{ms / SECOND_MS:.2f} s"
    minutes, seconds = divmod(round(ms / SECOND_MS), 60)
    if ms < HOUR_MS:
        return f"{minutes} m {seconds} s"
    return f"{minutes // 60} h {minutes % 60} m"


@register.filter
def unlocalized(number: float) -> str:
    """Return a number for an SVG attribute."""
    return f"{number:.2f}"
