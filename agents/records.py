"""A Kafka record as data, for code that must not know Kafka."""

import msgspec

from agents.cloudevents import Headers

Partition = tuple[str, int]


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A record as it came from Kafka, bytes untouched. timestamp_ms is the log's append time."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: Headers

    @property
    def coordinates(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"
