"""Which rule-set is in force, and how far workers have taken it over."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from django.db.models import QuerySet
from django.utils import timezone

from agents.control import MAX_AGE_S
from controlplane.runtime.models import HEARTBEAT_EXPIRES, Heartbeat
from controlplane.spoken import spoken
from guardrails.models import Publication
from guardrails.rules import Rule, decode_rule_set

LISTED_FOR = timedelta(minutes=15)  # a silent worker stays in sight so long
MOST_NAMED = 20


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """obeys: it judges by the published set. behind: by another one, or by none. silent: nobody knows.

    took_ms: from the publication on, of a worker that saw it coming.
    """

    instance: str
    state: Literal["obeys", "behind", "silent"]
    ruleset: str
    seen_ago: str
    took_ms: float | None = None


class Obeyed(msgspec.Struct, frozen=True, kw_only=True):
    """Who judges by the published rule-set; named: the first of all, those that do not come before those that do.

    is_due: whoever has not taken it over by now judges nothing until it has.
    """

    obeying: int
    live: int
    silent: int
    took_ms: float | None
    is_due: bool
    named: list[Worker]
    unnamed: int

    @property
    def is_by_all(self) -> bool:
        return self.live > 0 and self.obeying == self.live


def published_context() -> dict[str, Any]:
    publication = Publication.objects.latest_first().with_people().first()
    return {
        "publication": publication,
        "obeyed": obeyed(publication) if publication else None,
    }


def obeyed(publication: Publication) -> Obeyed:
    """Of the publication in force."""
    now = timezone.now()
    workers = [_worker(row, publication, now) for row in _heard_of_since(now)]
    by_state = Counter(worker.state for worker in workers)
    obeying = [worker for worker in workers if worker.state == "obeys"]
    listed = [worker for worker in workers if worker.state != "obeys"] + obeying
    times = [worker.took_ms for worker in obeying if worker.took_ms is not None]
    return Obeyed(
        obeying=len(obeying),
        live=len(workers) - by_state["silent"],
        silent=by_state["silent"],
        took_ms=max(times, default=None),
        is_due=now - publication.published_at > timedelta(seconds=MAX_AGE_S),
        named=listed[:MOST_NAMED],
        unnamed=max(0, len(listed) - MOST_NAMED),
    )


def _heard_of_since(now: datetime) -> QuerySet[Heartbeat]:
    known = Heartbeat.objects.filter(seen_at__gte=now - LISTED_FOR)
    return known.defer("agents", "metrics", "rule_costs").order_by(
        "host", "started_at", "pk"
    )


def _worker(row: Heartbeat, publication: Publication, now: datetime) -> Worker:
    is_current = row.ruleset_hash == publication.rule_set_id
    is_told = is_current and row.publication == publication.pk
    return Worker(
        instance=row.instance,
        state=_state(
            is_live=row.seen_at >= now - HEARTBEAT_EXPIRES, is_current=is_current
        ),
        ruleset=row.ruleset_hash,
        seen_ago=spoken(now - row.seen_at),
        took_ms=row.ruled_in_ms if is_told else None,
    )


def _state(*, is_live: bool, is_current: bool) -> Literal["obeys", "behind", "silent"]:
    if not is_live:
        return "silent"
    return "obeys" if is_current else "behind"


def rules_of(publication: Publication | None) -> dict[str, Rule] | None:
    """By id. None if the body cannot be read by this version."""
    return {} if publication is None else rules_in(publication.rule_set.body)


def rules_in(body: "bytes | memoryview[int]") -> dict[str, Rule] | None:
    """The rules of a stored set, by id. None if this version cannot read it."""
    try:
        rule_set = decode_rule_set(bytes(body))
    except msgspec.MsgspecError:
        return None
    return {rule.id: rule for rule in rule_set.rules}
