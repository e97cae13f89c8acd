"""Which rule-set is in force, and how far workers have taken it over."""

from datetime import timedelta
from typing import Any, Literal

import msgspec
from django.utils import timezone

from controlplane.runtime.models import HEARTBEAT_EXPIRES, Heartbeat
from controlplane.spoken import spoken
from guardrails.models import Publication
from guardrails.rules import Rule, decode_rule_set

LISTED_FOR = timedelta(minutes=15)  # a silent worker stays in sight so long
MOST_NAMED = 20


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """obeys: it judges by the published set. behind: by another one. silent: nobody knows."""

    instance: str
    state: Literal["obeys", "behind", "silent"]
    ruleset: str
    seen_ago: str


class Obeyed(msgspec.Struct, frozen=True, kw_only=True):
    """Who judges by the published rule-set; others: those that do not, or do not say so."""

    obeying: int
    live: int
    others: list[Worker]
    unnamed: int

    @property
    def is_by_all(self) -> bool:
        return self.live > 0 and self.obeying == self.live


def published_context() -> dict[str, Any]:
    publication = Publication.objects.latest_first().with_people().first()
    return {
        "publication": publication,
        "obeyed": obeyed(publication.rule_set_id) if publication else None,
    }


def obeyed(ruleset_hash: str) -> Obeyed:
    now = timezone.now()
    known = Heartbeat.objects.filter(seen_at__gte=now - LISTED_FOR)
    workers = [
        Worker(
            instance=instance,
            state=_state(
                is_live=seen_at >= now - HEARTBEAT_EXPIRES,
                is_current=ruleset == ruleset_hash,
            ),
            ruleset=ruleset,
            seen_ago=spoken(now - seen_at),
        )
        for instance, seen_at, ruleset in known.order_by("host", "pk").values_list(
            "instance", "seen_at", "ruleset_hash"
        )
    ]
    others = [worker for worker in workers if worker.state != "obeys"]
    return Obeyed(
        obeying=len(workers) - len(others),
        live=sum(worker.state != "silent" for worker in workers),
        others=others[:MOST_NAMED],
        unnamed=max(0, len(others) - MOST_NAMED),
    )


def _state(*, is_live: bool, is_current: bool) -> Literal["obeys", "behind", "silent"]:
    if not is_live:
        return "silent"
    return "obeys" if is_current else "behind"


def rules_of(publication: Publication | None) -> dict[str, Rule] | None:
    """By id. None if the body cannot be read by this version."""
    if publication is None:
        return {}
    try:
        rule_set = decode_rule_set(bytes(publication.rule_set.body))
    except msgspec.MsgspecError:
        return None
    return {rule.id: rule for rule in rule_set.rules}
