"""What the dead letters pages show."""

from typing import Any

import msgspec
from django.contrib.auth.models import User
from django.db.models import Count
from django.http import QueryDict

from agents.topics import DEAD_LETTERS
from agents.work import open_letter
from controlplane.deadletters import bulk
from controlplane.deadletters.actions import DECIDE
from controlplane.deadletters.forms import (
    DecisionForm,
    FilterForm,
    ManyForm,
    PageForm,
)
from controlplane.deadletters.models import Job, JobItem, Letter
from controlplane.deadletters.shown import Shown, one_line, shown
from controlplane.deadletters.sinks import MAX_BIGINT, MAX_INT, number
from controlplane.traces import actions as traces

PAGE = 50
REFUSALS_SHOWN = 20


def list_context(
    query: QueryDict, user: User, many: ManyForm | None = None
) -> dict[str, Any]:
    """One page of the letters that match; the newest first."""
    filters, place = FilterForm(query), PageForm(query)
    matching = filters.letters()
    before = place.cleaned_data["before"] if place.is_valid() else None
    page = matching.filter(pk__lt=before) if before else matching
    found = list(page.newest_first().select_related("decided_by")[: PAGE + 1])
    listed = found[:PAGE]
    newest = Letter.objects.newest_first().values_list("pk", flat=True).first()
    return {
        "filters": filters,
        "letters": listed,
        "open_matching": matching.filter(state=Letter.State.OPEN).count(),
        "older": _query(query, listed[-1].pk) if len(found) > PAGE else "",
        "newest": _query(query, None) if before else "",
        "query": _query(query, before),
        "up_to": many.data.get("up_to", 0) if many else newest or 0,
        "many": many or ManyForm(),
        "may_decide": user.has_perm(DECIDE),
        "jobs": list(Job.objects.filter(finished_at=None).order_by("started_at")),
        "is_ok": filters.is_valid(),
    }


def _query(query: QueryDict, before: int | None) -> str:
    kept = query.copy()
    kept.pop("before", None)
    for name in [name for name, value in kept.items() if not value]:
        del kept[name]
    if before:
        kept["before"] = str(before)
    return f"?{kept.urlencode()}" if kept else ""


class Inside(msgspec.Struct, frozen=True, kw_only=True):
    """What a letter holds, as a person may look at it."""

    value: Shown
    key: str
    headers: list[tuple[str, str]]
    sha256: str
    size_bytes: int


def letter_context(
    letter: Letter, user: User, form: DecisionForm | None = None
) -> dict[str, Any]:
    """Reads the record's bytes, which the audit log tells of."""
    return {
        "letter": letter,
        "inside": _inside(letter, user),
        "again": list(Letter.objects.filter(redrive_of=str(letter)).order_by("pk")),
        "before": _letter_named(letter.redrive_of),
        "form": form or DecisionForm(),
        "may_decide": user.has_perm(DECIDE),
    }


def _inside(letter: Letter, reader: User) -> Inside | None:
    try:
        payload = traces.read_payload(
            letter.trace_id,
            topic=DEAD_LETTERS,
            partition=letter.partition,
            offset=letter.offset,
            reader=reader,
        )
    except traces.NoPayloadError:
        return None
    own, _ = open_letter(payload.headers)
    return Inside(
        value=shown(payload.value),
        key=one_line(payload.key),
        headers=[(name, one_line(value)) for name, value in own],
        sha256=bytes(payload.record.value_sha256).hex(),
        size_bytes=payload.record.size_bytes,
    )


def _letter_named(name: str) -> Letter | None:
    """Return the letter whose place a header names; anybody may have written it."""
    topic, _, place = name.partition("/")
    first, _, second = place.partition("@")
    partition, offset = number(first, MAX_INT), number(second, MAX_BIGINT)
    if topic != DEAD_LETTERS or partition is None or offset is None:
        return None
    found = Letter.objects.filter(partition=partition, offset=offset)
    return found.order_by("-at", "-pk").first()


def job_context(job: Job, user: User) -> dict[str, Any]:
    counts = job.count_by_result()
    total, waiting = sum(counts.values()), counts.get("", 0)
    refused = job.items.filter(result=JobItem.Result.REFUSED)
    return {
        "job": job,
        "total": total,
        "gone_through": total - waiting,
        "waiting": waiting,
        "done": counts.get("done", 0),
        "already": counts.get("already", 0),
        "refused": counts.get("refused", 0),
        "refusals": _reasons(job),
        "refused_letters": refused.select_related("letter").order_by("letter_id")[
            :REFUSALS_SHOWN
        ],
        "waits_for_kafka": job.finished_at is None and not bulk.has_room(),
        "may_decide": user.has_perm(DECIDE),
    }


def _reasons(job: Job) -> list[tuple[str, int]]:
    rows = (
        job.items.filter(result=JobItem.Result.REFUSED)
        .values("note")
        .annotate(letters=Count("pk"))
        .order_by("-letters", "note")
    )
    return [(row["note"], row["letters"]) for row in rows]
