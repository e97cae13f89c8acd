"""What the pages of a report show."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from django.contrib.auth.models import User

from controlplane.incidents.corrections import Draft, Progress, State, copies_of
from controlplane.incidents.forms import CorrectionForm, QueryForm, known_names
from controlplane.incidents.lines import Excerpt, Line, excerpt
from controlplane.incidents.reached import Query
from controlplane.incidents.report import Report, page_report
from controlplane.stops.models import Stop
from moderation.actions import OVERRIDE

CORRECT = "chat.add_correction"
LISTED = 50


class Shown(msgspec.Struct, frozen=True):
    line: Line
    excerpt: Excerpt


def report_context(stop: Stop, user: User, form: QueryForm) -> dict[str, Any]:
    report = page_report(stop, user, form.query(), after=form.after_id)
    more = report.more_after
    shown: dict[str, Any] = (
        {} if form.is_valid() else {"shown": []}
    )  # nobody has asked for these
    return (
        _context(report)
        | shown
        | {
            "form": form,
            "known": known_names(),
            "may_correct": user.has_perm(CORRECT),
            "more": address_of(report.query, after=str(more)) if more else "",
            "is_later_page": form.after_id is not None,
        }
    )


def draft_context(draft: Draft, form: CorrectionForm, user: User) -> dict[str, Any]:
    """The page on which a correction is written, and the one on which it is confirmed."""
    return {
        "stop": draft.stop,
        "draft": draft,
        "form": form,
        "as_of": draft.as_of.isoformat(),
        "asked": address_of(draft.query),
        "may_override": user.has_perm(OVERRIDE),
        "listed": LISTED,
    }


def correction_context(stop: Stop, progress: Progress, user: User) -> dict[str, Any]:
    correction = progress.correction
    return {
        "stop": stop,
        "progress": progress,
        "correction": correction,
        "refused": copies_of(correction, State.REFUSED)[:LISTED],
        "others": copies_of(correction, State.OWED, State.DELIVERED)[:LISTED],
        "listed": LISTED,
        "may_correct": user.has_perm(CORRECT),
    }


def print_context(report: Report) -> dict[str, Any]:
    return _context(report) | {"left_out": report.totals.replies - len(report.lines)}


def _context(report: Report) -> dict[str, Any]:
    phrase = report.query.phrase
    return {
        "report": report,
        "stop": report.stop,
        "asked": address_of(report.query),
        "shown": [Shown(line, excerpt(line.text, phrase)) for line in report.lines],
    }


def address_of(query: Query, **more: str) -> str:
    """Return what is asked for as the end of an address."""
    asked = {**msgspec.structs.asdict(query), **more}
    written = {name: _written(value) for name, value in asked.items() if value}
    return f"?{urlencode(written)}" if written else ""


def _written(value: str | datetime) -> str:
    """Times as the fields for them show them: of UTC, which they do not say."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat()
    return value
