"""The report of one stop: everything that its page, its print and its JSON say."""

from datetime import datetime

import msgspec
from django.contrib.auth.models import User
from django.db.models import Count, Q, QuerySet

from controlplane.audit.models import Entry
from controlplane.chat.models import Message
from controlplane.clock import database_now
from controlplane.incidents.corrections import Progress, of_stop
from controlplane.incidents.lines import Line, all_lines, page_of
from controlplane.incidents.owed import Group, owed
from controlplane.incidents.reached import (
    Query,
    Totals,
    Window,
    reached,
    totals_of,
    window_after,
    window_of,
)
from controlplane.incidents.timeline import Step, entries_of, timeline_of
from controlplane.stops.models import Stop

PAGE = 50
DEBTS_SHOWN = 20


class Later(msgspec.Struct, frozen=True, kw_only=True):
    """What went out between the proof and the release, with the same filter."""

    window: Window
    replies: int
    reviewed: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """lines: one page of them, or all. more_after: the last of the page, if others follow."""

    as_of: datetime
    stop: Stop
    query: Query
    window: Window
    totals: Totals
    later: Later | None
    timeline: list[Step]
    entries: list[Entry]
    corrections: list[Progress]
    lines: list[Line]
    more_after: int | None
    owed: list[Group]


def page_report(stop: Stop, user: User, query: Query, *, after: int | None) -> Report:
    """Return it with one page of the lines, from after a line on."""
    return _report(stop, user, query, after=after, size=PAGE, debts=DEBTS_SHOWN)


def whole_report(stop: Stop, user: User, query: Query, *, size: int | None) -> Report:
    """Return it with all that is owed and so many lines; None: all."""
    return _report(stop, user, query, after=None, size=size, debts=None)


def _report(
    stop: Stop,
    user: User,
    query: Query,
    *,
    after: int | None,
    size: int | None,
    debts: int | None,
) -> Report:
    now = database_now()
    window = window_of(stop, query, now)
    found, written = reached(stop, query, window), of_stop(stop)
    entries = entries_of(stop, *(each.correction for each in written))
    first = page_of(found, after=None, size=1) if query.is_filtered else []
    lines, more_after = _lines(found, after, size)
    return Report(
        as_of=now,
        stop=stop,
        query=query,
        window=window,
        totals=totals_of(stop, query, window),
        later=_later(stop, query, now),
        timeline=timeline_of(stop, first[0] if first else None, entries),
        entries=entries,
        corrections=written,
        lines=lines,
        more_after=more_after,
        owed=owed(stop, user, at_most=debts),
    )


def _lines(
    found: "QuerySet[Message]", after: int | None, size: int | None
) -> tuple[list[Line], int | None]:
    if size is None:
        return list(all_lines(found)), None
    start = Message.objects.filter(pk=after).first() if after else None
    lines = page_of(found, after=start, size=size + 1)
    shown = lines[:size]
    return shown, shown[-1].id if len(lines) > size else None


def _later(stop: Stop, query: Query, now: datetime) -> Later | None:
    window = window_after(stop, now)
    if window is None or query.until is not None:
        return None
    counts = reached(stop, query, window).aggregate(
        replies=Count("pk"), reviewed=Count("pk", filter=Q(reviewed=True))
    )
    return Later(window=window, **counts)
