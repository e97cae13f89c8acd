"""How far agents are behind, as Kafka and the recorder's own offsets tell."""

from collections.abc import Mapping
from functools import cache, lru_cache

import msgspec
from django.conf import settings

from agents import registry
from agents.admin import Admin, Positions, group_of
from agents.broker import BrokerError
from agents.records import Partition
from agents.topics import DEAD_LETTERS
from controlplane.fresh import Fresh
from controlplane.traces.models import RecorderOffset

TIMEOUT_S = 1.0
WINDOW_S = 300.0  # dead letters are counted over it
RECORDER = "recorder"  # its offsets are in PostgreSQL

Lags = dict[tuple[str, str], int]


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """None is not known; error says why."""

    lags: Lags | None = None  # by agent and topic
    dead_letters_per_minute: float | None = None
    error: str = ""


@cache
def reads() -> dict[str, tuple[str, ...]]:
    """Return the topics of each agent that has any."""
    return {each.name: each.reads for each in registry.declarations() if each.reads}


def read_backlog() -> Backlog:
    """Ask Kafka, at most every two seconds, and PostgreSQL for the recorder's offsets."""
    seen = positions.read()
    if isinstance(seen, str):
        return Backlog(error=seen)
    committed = {
        agent: seen.committed[group_of(agent)] for agent in reads() if agent != RECORDER
    }
    committed[RECORDER] = {
        (topic, partition): offset
        for topic, partition, offset in RecorderOffset.objects.values_list(
            "topic", "partition", "next_offset"
        )
    }
    return Backlog(
        lags=lags_of(seen, committed),
        dead_letters_per_minute=seen.recent * 60 / WINDOW_S,
    )


def lags_of(seen: Positions, committed: Mapping[str, Mapping[Partition, int]]) -> Lags:
    """Count what lies between an agent and the end; what retention took is not waited for."""
    lags: Lags = {}
    for agent, offsets in committed.items():
        for (topic, number), end in seen.ends.items():
            if topic in reads()[agent]:
                start = seen.starts[topic, number]
                at = max(start, offsets.get((topic, number), start))
                lags[agent, topic] = lags.get((agent, topic), 0) + max(0, end - at)
    return lags


def _ask_kafka() -> Positions | str:
    """Return why nothing is known if Kafka does not answer."""
    client = {**settings.KAFKA, "log_level": "0"}
    try:
        return _admin(tuple(client.items())).positions(
            topics=set().union(*reads().values()),
            watched=DEAD_LETTERS,
            window_s=WINDOW_S,
            timeout_s=TIMEOUT_S,
        )
    except BrokerError as error:
        return str(error)


@lru_cache(maxsize=1)
def _admin(client: tuple[tuple[str, str], ...]) -> Admin:
    """Keep the connections: with them a look takes 20 ms."""
    groups = {
        group_of(agent): topics
        for agent, topics in reads().items()
        if agent != RECORDER
    }
    return Admin(dict(client), groups)


positions: Fresh[Positions | str] = Fresh(_ask_kafka)
