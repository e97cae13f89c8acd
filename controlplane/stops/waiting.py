"""What waits in Kafka for the agents, since when, and how long Kafka keeps it."""

from functools import lru_cache

import msgspec
from django.conf import settings

from agents import registry
from agents.admin import Admin, Positions
from agents.broker import BrokerError
from agents.lags import group_of
from agents.records import Partition
from agents.topic_setup import retentions
from controlplane.fresh import Fresh
from controlplane.stops.targets import OURS

TIMEOUT_S = 3.0  # nobody waits for it
DAY_S = 86_400


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """By topic how long Kafka keeps it (-1: for ever); by agent and topic the time of the oldest that waits."""

    retention_ms: dict[str, int]
    oldest_ms: dict[tuple[str, str], int]


def reads() -> dict[str, tuple[str, ...]]:
    """Return the topics of each agent that a stop may be about."""
    return {
        each.name: each.reads
        for each in registry.declarations()
        if each.workflow != OURS and each.reads
    }


def _ask_kafka() -> Waiting | str:
    """Return why nothing is known if Kafka does not answer."""
    client = {**settings.KAFKA, "log_level": "0"}
    admin = _admin(tuple(client.items()))
    topics = set().union(*reads().values())
    try:
        seen = admin.positions(
            topics=topics, watched="", window_s=0, timeout_s=TIMEOUT_S
        )
        there = {topic for topic, _ in seen.ends}
        kept = retentions(settings.KAFKA, sorted(there), timeout_s=TIMEOUT_S)
        oldest = _oldest(admin, seen, kept)
    except BrokerError as error:
        return str(error)
    return Waiting(retention_ms=kept, oldest_ms=oldest)


def _oldest(
    admin: Admin, seen: Positions, kept: dict[str, int]
) -> dict[tuple[str, str], int]:
    """Look back twice as far as anything is kept: Kafka deletes late, and by whole files."""
    found: dict[tuple[str, str], int] = {}
    for agent, topics in reads().items():
        times = admin.times_ms(
            waiting_offsets(seen, group_of(agent), topics),
            ago_ms=2 * max([DAY_S * 1000, *kept.values()]),
            timeout_s=TIMEOUT_S,
        )
        for (topic, _), at in times.items():
            found[agent, topic] = min(at, found.get((agent, topic), at))
    return found


def waiting_offsets(
    seen: Positions, group: str, topics: tuple[str, ...]
) -> dict[Partition, int]:
    """Return the first offset that waits in each partition that has one; what retention took does not wait."""
    committed = seen.committed[group]
    firsts = {
        partition: max(seen.starts[partition], committed.get(partition, 0))
        for partition in seen.ends
        if partition[0] in topics
    }
    return {each: first for each, first in firsts.items() if first < seen.ends[each]}


@lru_cache(maxsize=1)
def _admin(client: tuple[tuple[str, str], ...]) -> Admin:
    groups = {group_of(agent): topics for agent, topics in reads().items()}
    return Admin(dict(client), groups)


look: Fresh[Waiting | str] = Fresh(_ask_kafka)
