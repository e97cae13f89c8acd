"""What leaves with a report, and what is written because of it: both are on record."""

from collections.abc import Iterable
from uuid import UUID

import msgspec
from django.contrib.auth.models import User
from django.db import transaction

from controlplane.audit import actions as audit
from controlplane.chat import corrections as chat
from controlplane.chat.models import Correction
from controlplane.incidents.corrections import Draft, Recipient, copies_of
from controlplane.incidents.reached import Query
from controlplane.incidents.report import Report, whole_report
from controlplane.stops.models import Stop
from moderation.actions import check_text


@transaction.atomic
def export_report(
    stop: Stop, query: Query, *, form: str, size: int | None = None, by: User
) -> Report:
    """Return the whole report, and record that this person has taken it away."""
    report = whole_report(stop, by, query, size=size)
    asked = msgspec.to_builtins(query)
    detail = {
        "form": form,
        "replies": len(report.lines),
        "query": {name: value for name, value in asked.items() if value},
    }
    audit.record(by, "report_exported", f"stop:{stop.pk}", detail=detail)
    return report


def send_correction(  # noqa: PLR0913 - what a person sends, field by field
    draft: Draft,
    *,
    correction_id: UUID,
    text: str,
    reason: str,
    although_moved_on: bool,
    override: bool,
    author: User,
) -> Correction:
    """Send one text to each of the draft's conversations, once.

    The gate refuses where one has moved on, unless it is to get it all the same. GuardrailError if a
    rule in force would hold the text and is not overridden; InvalidCorrectionError if it cannot be
    sent so. Not inside a transaction.
    """
    overrider = author if override else None
    overridden = check_for_all(text, draft.to, overrider=overrider)
    return chat.send_correction(
        text=text,
        targets=[each.target(although_moved_on=although_moved_on) for each in draft.to],
        author=author,
        reason=reason,
        stop_id=draft.stop.pk,
        correction_id=correction_id,
        overridden=overridden,
    )


def check_for_all(
    text: str, to: Iterable[Recipient], *, overrider: User | None
) -> list[str]:
    """Return the rules that are overridden; GuardrailError if one hits for any of them and may not be."""
    places = sorted({(each.tier, each.workflow) for each in to})
    hits = {
        rule
        for tier, workflow in places
        for rule in check_text(text, tier=tier, workflow=workflow, overrider=overrider)
    }
    return sorted(hits)


def confirm_refused(correction: Correction, *, by: User) -> int:
    """Send it again to those where it was refused, wherever they are now; return to how many."""
    refused = list(copies_of(correction, "refused"))
    return chat.confirm_copies(correction, refused, confirmer=by)
