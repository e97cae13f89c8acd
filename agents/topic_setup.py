"""Creates the topics of the register in Kafka, and says where Kafka differs from it."""

from collections.abc import Iterable, Mapping

import msgspec
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its stubs
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from agents.broker import BrokerError, broker_error
from agents.topics import Topic


class TopicProblem(msgspec.Struct, frozen=True):
    """A topic that is not as it is declared."""

    topic: str
    what: str


def ensure_topics(
    client: Mapping[str, str], topics: Iterable[Topic], *, create: bool
) -> tuple[list[str], list[TopicProblem]]:
    """Create what is missing (if asked), and return what was created and what differs."""
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
        "retention.ms": str(topic.retention_ms),
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(topic.max_bytes),
    }


def _metadata(admin: AdminClient) -> dict[str, int]:
    try:
        topics = admin.list_topics(timeout=10).topics
    except KafkaException as error:
        raise broker_error(error) from error
    return {name: len(topic.partitions) for name, topic in topics.items()}


def _replication(admin: AdminClient) -> int:
    return min(3, len(admin.list_topics(timeout=10).brokers))


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
        ]
    return problems
