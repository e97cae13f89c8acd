"""Creates the topics of the register in Kafka, and says where Kafka differs from it."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

import msgspec
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its stubs
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from agents.broker import BrokerError, broker_error
from agents.topics import Topic

RETENTION = "retention.ms"
READY_WITHIN_S = 30
ASKED_EVERY_S = 0.1

T = TypeVar("T")


class TopicProblem(msgspec.Struct, frozen=True):
    """A topic that is not as it is declared."""

    topic: str
    what: str


def ensure_topics(
    client: Mapping[str, str], topics: Iterable[Topic], *, create: bool
) -> tuple[list[str], list[TopicProblem]]:
    """Create what is missing (if asked), and return what was created and what differs.

    What Kafka keeps for longer than declared is no difference: keeps_longer() tells of it.
    """
    admin = AdminClient(dict(client))
    wanted = {topic.name: topic for topic in topics}
    there = _metadata(admin)
    missing = [topic for name, topic in wanted.items() if name not in there]
    created: list[str] = []
    problems: list[TopicProblem] = []
    if create and missing:
        created = _create(admin, missing, replication=_replication(admin))
    else:
        problems = [TopicProblem(topic.name, "is missing") for topic in missing]
    for name, partitions in there.items():
        if name in wanted and partitions < wanted[name].partitions:
            what = f"has {partitions} partitions, not {wanted[name].partitions}"
            problems.append(TopicProblem(name, what))
    settled = [topic for name, topic in wanted.items() if name in there]
    return created, problems + _differing_settings(admin, settled)


def topic_settings(topic: Topic) -> dict[str, str]:
    """Return the topic-level configuration that a declaration stands for."""
    return {
        "cleanup.policy": "compact" if topic.compacted else "delete",
        RETENTION: str(topic.retention_ms),
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(topic.max_bytes),
    }


def retentions(
    client: Mapping[str, str], names: Iterable[str], *, timeout_s: float
) -> dict[str, int]:
    """Return for how many ms Kafka keeps the records of each; -1 is for ever. BrokerError."""
    return _retentions(_admin(client), names, timeout_s)


def keep_for(
    client: Mapping[str, str], wanted_ms: Mapping[str, int], *, timeout_s: float
) -> dict[str, int]:
    """Set for how long Kafka keeps the records of each, and return what it then says. BrokerError."""
    admin = _admin(client)
    changes = [_retention(name, ms) for name, ms in wanted_ms.items()]
    if changes:
        told = admin.incremental_alter_configs(changes, request_timeout=timeout_s)
        for future in told.values():
            _result(future)
    return _retentions(admin, wanted_ms, timeout_s)


def keeps_longer(topic: Topic, retention_ms: int) -> bool:
    """Whether Kafka keeps it for longer than was declared, as when people had it so during a stop."""
    is_finite = topic.retention_ms >= 0
    return is_finite and (retention_ms < 0 or retention_ms > topic.retention_ms)


def _retention(name: str, retention_ms: int) -> ConfigResource:
    entry = ConfigEntry(
        RETENTION,
        str(retention_ms),
        incremental_operation=AlterConfigOpType.SET,
    )
    return ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])


def _retentions(
    admin: AdminClient, names: Iterable[str], timeout_s: float
) -> dict[str, int]:
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not asked:
        return {}
    told = admin.describe_configs(asked, request_timeout=timeout_s)
    return {
        resource.name: int(_result(future)[RETENTION].value)
        for resource, future in told.items()
    }


def _admin(client: Mapping[str, str]) -> AdminClient:
    options: Any = dict(client) | {"error_cb": lambda _: None, "log_level": 0}
    return AdminClient(options)


def _result(future: Future[T]) -> T:
    try:
        return future.result()
    except KafkaException as error:
        raise broker_error(error) from error


def _metadata(admin: AdminClient) -> dict[str, int]:
    topics = _cluster(admin).topics
    return {name: len(topic.partitions) for name, topic in topics.items()}


def _cluster(admin: AdminClient) -> ClusterMetadata:
    try:
        return admin.list_topics(timeout=10)
    except KafkaException as error:
        raise broker_error(error) from error


def _replication(admin: AdminClient) -> int:
    """Of a Kafka that has just started or woken up, once it has a broker and a controller."""
    deadline_s = time.monotonic() + READY_WITHIN_S
    while True:
        cluster = _cluster(admin)
        if cluster.brokers and cluster.controller_id >= 0:
            return min(3, len(cluster.brokers))
        if time.monotonic() > deadline_s:
            told = "Kafka answers, but names no broker or no controller"
            raise BrokerError(told, retriable=True)
        time.sleep(ASKED_EVERY_S)


def _create(admin: AdminClient, topics: list[Topic], *, replication: int) -> list[str]:
    new = [
        NewTopic(
            topic.name,
            num_partitions=topic.partitions,
            replication_factor=replication,
            config=topic_settings(topic)
            | {"min.insync.replicas": str(max(1, replication - 1))},
        )
        for topic in topics
    ]
    for name, future in admin.create_topics(new).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise BrokerError(f"{name}: {error}", retriable=False) from error
    return [topic.name for topic in topics]


def _differing_settings(admin: AdminClient, topics: list[Topic]) -> list[TopicProblem]:
    if not topics:
        return []
    resources = {
        ConfigResource(ResourceType.TOPIC, topic.name): topic for topic in topics
    }
    problems = []
    for resource, future in admin.describe_configs(list(resources)).items():
        found = future.result()
        topic = resources[resource]
        problems += [
            TopicProblem(topic.name, f"{name} is {found[name].value}, not {value}")
            for name, value in topic_settings(topic).items()
            if found[name].value != value
            and not (name == RETENTION and keeps_longer(topic, int(found[name].value)))
        ]
    return problems
