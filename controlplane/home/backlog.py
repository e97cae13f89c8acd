"""How far agents are behind, as Kafka and the recorder's own offsets tell."""

from functools import lru_cache

import msgspec
from django.conf import settings

from agents.admin import Admin, Positions
from agents.broker import BrokerError
from agents.lags import Lags, group_of, lags_of, reads
from agents.topics import DEAD_LETTERS
from controlplane.fresh import Fresh
from controlplane.traces.models import RecorderOffset

TIMEOUT_S = 1.0
WINDOW_S = 300.0  # dead letters are counted over it
RECORDER = "recorder"  # its offsets are in PostgreSQL


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """None is not known; error says why."""

    lags: Lags | None = None  # by agent and topic
    dead_letters_per_minute: float | None = None
    error: str = ""


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
