"""How far agents are behind, counted from what Kafka says of their groups. Pure."""

from collections.abc import Mapping
from functools import cache

from agents import registry
from agents.admin import Positions
from agents.records import Partition

Lags = dict[tuple[str, str], int]  # by agent and topic


@cache
def reads() -> dict[str, tuple[str, ...]]:
    """Return the topics of each agent that has any."""
    return {each.name: each.reads for each in registry.declarations() if each.reads}


def group_of(agent: str) -> str:
    return f"interlock.{agent}"


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
