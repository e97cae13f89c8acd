"""How far the agents of a scope are behind, as Kafka tells."""

from collections.abc import Mapping

from agents import topics
from agents.admin import Admin
from agents.broker import BrokerError
from agents.lags import Lags, group_of, lags_of, reads
from controlplane.stops.targets import agents_in
from controlplane.stops.tripping import Figure

TIMEOUT_S = 1.0


class KafkaLags:
    """Asks Kafka how far agents are behind. Its connections are kept, and opened when first asked."""

    def __init__(self, client: Mapping[str, str]) -> None:
        self._client = {**client, "log_level": "0"}
        self._admin: Admin | None = None

    def __call__(self) -> Lags | str:
        names = [name for name in agents_in("everything", "") if name in reads()]
        if self._admin is None:
            groups = {group_of(name): reads()[name] for name in names}
            self._admin = Admin(self._client, groups)
        try:
            seen = self._admin.positions(
                topics={topic for name in names for topic in reads()[name]},
                watched="",
                window_s=0,
                timeout_s=TIMEOUT_S,
            )
        except BrokerError as error:
            return f"Kafka says: {error}"
        return lags_of(seen, {name: seen.committed[group_of(name)] for name in names})


def furthest_behind(lags: Lags | str, *, scope: str, value: str) -> Figure:
    """Return the largest lag of an agent in scope on a topic; a text says why it is unknown."""
    if isinstance(lags, str):
        return Figure(unknown=lags)
    names = agents_in(scope, value)
    topic_of_tier = topics.request_topic(value) if scope == "tier" else ""
    known = [
        (records, agent, topic)
        for (agent, topic), records in lags.items()
        if agent in names and topic_of_tier in {"", topic}
    ]
    if not known:
        return Figure(unknown="no topic of it is there")
    records, agent, topic = max(known)
    about = f"{agent} on {topic}" if records else ""
    return Figure(count=records, items=records, about=about)
