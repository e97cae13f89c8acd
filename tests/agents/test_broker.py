from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient
from django.conf import settings
from django.core.management import CommandError, call_command
from structlog.testing import capture_logs

from agents import topic_setup, topics
from agents.admin import ping
from agents.broker import BrokerError, Consumer, Producer, errors
from agents.broker import consumer as consumer_module
from agents.records import Partition
from agents.throttle import Throttle
from agents.topic_setup import TopicProblem, ensure_topics, topic_settings
from agents.topics import DAY_MS, Topic, contract_of, pending_topic, request_topic
from controlplane.embedded.services import Services
from tests.agents.stage import Nobody, Note, Stage, committed
from tests.waiting import wait_for

AWAY = {"bootstrap.servers": "127.0.0.1:1"}


def declare(name: str, **fields: Any) -> Topic:
    return Topic(name=name, owner="test", contract=Note, **fields)


def test_topics_are_created_as_declared_and_a_second_time_nothing_is_done(
    stage: Stage,
) -> None:
    wanted = [
        declare(f"a.{stage.id}", partitions=3, retention_ms=DAY_MS, max_bytes=1_000),
        declare(f"b.{stage.id}", partitions=1, compacted=True, retention_ms=-1),
    ]
    names = [topic.name for topic in wanted]

    assert ensure_topics(settings.KAFKA, wanted, create=False) == (
        [],
        [TopicProblem(name, "is missing") for name in names],
    )
    assert ensure_topics(settings.KAFKA, wanted, create=True) == (names, [])
    wait_for(lambda: ensure_topics(settings.KAFKA, wanted, create=False) == ([], []))
    assert topic_settings(wanted[1])["cleanup.policy"] == "compact"


def test_topics_that_differ_are_named_and_left_alone(stage: Stage) -> None:
    name = f"a.{stage.id}"
    ensure_topics(settings.KAFKA, [declare(name, partitions=1)], create=True)
    other = declare(name, partitions=3, max_bytes=1_000)
    wait_for(lambda: name in topic_setup._metadata(_admin()))

    _, problems = ensure_topics(settings.KAFKA, [other], create=True)

    assert problems == [
        TopicProblem(name, "has 1 partitions, not 3"),
        TopicProblem(name, f"max.message.bytes is {topics.RECORD_MAX_BYTES}, not 1000"),
    ]


class Waking(AdminClient):
    """Answers at first as a Kafka that has just woken up: it knows its topics, and no broker."""

    answers = 3

    def list_topics(self, *args: Any, **fields: Any) -> Any:
        found = super().list_topics(*args, **fields)
        if self.answers:
            self.answers -= 1
            found.brokers, found.controller_id = {}, -1
        return found


def test_topics_are_created_when_kafka_has_a_broker_to_hold_them(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = declare(f"a.{stage.id}")
    monkeypatch.setattr(topic_setup, "AdminClient", Waking)

    assert ensure_topics(settings.KAFKA, [topic], create=True) == ([topic.name], [])


def test_a_kafka_that_gets_no_broker_is_said_to_have_none(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_setup, "AdminClient", Waking)
    monkeypatch.setattr(topic_setup, "READY_WITHIN_S", 0)

    with pytest.raises(BrokerError, match="names no broker"):
        ensure_topics(settings.KAFKA, [declare(f"a.{stage.id}")], create=True)


def test_a_topic_that_another_creates_meanwhile_is_no_error(stage: Stage) -> None:
    topic = declare(f"a.{stage.id}")
    ensure_topics(settings.KAFKA, [topic], create=True)

    assert topic_setup._create(_admin(), [topic], replication=1) == [topic.name]


def test_a_topic_that_cannot_be_created_is_named(stage: Stage) -> None:
    with pytest.raises(BrokerError, match="not a name"):
        ensure_topics(settings.KAFKA, [declare("not a name")], create=True)


def _admin() -> Any:
    return AdminClient(dict(settings.KAFKA))


def test_a_broker_that_answers_is_counted_and_one_that_does_not_is_an_error(
    services: Services,
) -> None:
    assert ping(settings.KAFKA) == 1
    with pytest.raises(BrokerError) as away:
        ping(AWAY, timeout_s=0.2)
    assert away.value.retriable


def test_the_command_creates_and_checks_the_register(
    services: Services,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call_command("topics")
    wait_for(lambda: _check(capsys))

    monkeypatch.setitem(topics.TOPICS, "missing.topic", declare("missing.topic"))
    with pytest.raises(CommandError, match="1 differences"):
        call_command("topics", check=True)
    assert "missing.topic is missing" in capsys.readouterr().err


def _check(capsys: pytest.CaptureFixture[str]) -> bool:
    try:
        call_command("topics", check=True)
    except CommandError:
        return False
    return "topics are as declared" in capsys.readouterr().out


def test_the_command_says_that_kafka_is_away(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def away(_: Any) -> dict[str, int]:
        raise BrokerError("no broker", retriable=True)

    monkeypatch.setattr(topic_setup, "_metadata", away)

    with pytest.raises(CommandError, match="Kafka does not answer: no broker"):
        call_command("topics")


def test_a_broker_that_is_away_cannot_be_asked_for_its_topics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options: Any = AWAY | {"error_cb": lambda _: None, "log_level": 0}
    admin = AdminClient(options)
    monkeypatch.setattr(admin, "list_topics", _short(admin.list_topics), raising=False)

    with pytest.raises(BrokerError):
        topic_setup._metadata(admin)


def _short(list_topics: Any) -> Any:
    return lambda timeout: list_topics(timeout=0.2)


# Errors


def test_an_error_that_is_fatal_ends_the_consumer_and_others_are_passed_over() -> None:
    class Message:
        def __init__(self, error: KafkaError | None) -> None:
            self._error = error

        def error(self) -> KafkaError | None:
            return self._error

    passing = KafkaError(KafkaError._ALL_BROKERS_DOWN)
    fatal = KafkaError(KafkaError._FATAL, "fenced", fatal=True)

    assert consumer_module._is_record(Message(None))  # type: ignore[arg-type]
    assert not consumer_module._is_record(Message(passing))  # type: ignore[arg-type]
    with pytest.raises(BrokerError, match="fenced"):
        consumer_module._is_record(Message(fatal))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "retriable"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, False),
        (KafkaError.INVALID_RECORD, False),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, False),
        (KafkaError._MSG_TIMED_OUT, True),
        (KafkaError.NOT_ENOUGH_REPLICAS, True),
    ],
)
def test_what_kafka_never_takes_is_told_from_what_it_may_take_later(
    code: int,
    retriable: bool,  # noqa: FBT001
) -> None:
    error = errors.delivery_error(KafkaError(code))

    assert error is not None
    assert error.retriable is retriable
    assert errors.delivery_error(None) is None


# The consumer


class Hears(Nobody):
    def __init__(self) -> None:
        self.refused: list[Partition] = []

    def not_committed(self, partitions: list[Partition]) -> None:
        self.refused += partitions


def test_many_clients_without_kafka_say_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(errors, "_said", Throttle())
    consumers = [
        Consumer(AWAY, group=f"g{number}", topics=["t"], rebalance=Nobody())
        for number in range(3)
    ]
    producer = Producer(AWAY)

    def complained_often() -> bool:
        for consumer in consumers:
            consumer.fetch(1, 0.05)
        producer.serve(0.05)
        kept_back = sum(count for _, count in errors._said._said.values())
        return kept_back >= 20

    with capture_logs() as said:
        wait_for(complained_often, timeout_s=20, what="they complain often")
        for consumer in consumers:
            consumer.close()

    assert len([line for line in said if "Connection refused" in line["reason"]]) == 1
    assert "Connection refused" not in capfd.readouterr().err


def test_a_commit_that_kafka_refuses_is_told(stage: Stage) -> None:
    hears = Hears()
    consumer = Consumer(
        settings.KAFKA,
        group=f"g.{stage.id}",
        topics=[stage.topic("in")],
        rebalance=hears,
    )
    try:
        position = TopicPartition("in", 1, 5)
        consumer._on_commit(None, [position])
        assert hears.refused == []

        consumer._on_commit(KafkaError(KafkaError.UNKNOWN_MEMBER_ID), [position])
        assert hears.refused == [("in", 1)]
    finally:
        consumer.close()


def test_a_commit_that_cannot_be_made_is_an_error(stage: Stage) -> None:
    consumer = Consumer(
        settings.KAFKA,
        group=f"g.{stage.id}",
        topics=[stage.topic("in")],
        rebalance=Nobody(),
    )
    try:
        with pytest.raises(BrokerError):
            consumer.commit({("no such topic", 0): 1}, wait=True)
    finally:
        consumer.close()


def test_what_was_refused_is_committed_again(stage: Stage) -> None:
    agent = stage.agent()
    running = stage.start(agent)
    stage.send_all(agent.reads[0], ["a"])
    wait_for(lambda: sum(committed(agent).values()) == 1)
    runner = running.runner
    assert runner._committed == {(agent.reads[0], 0): 1}

    runner.not_committed([(agent.reads[0], 0), ("never had", 0)])

    wait_for(lambda: runner._committed == {(agent.reads[0], 0): 1})


def test_a_record_of_a_partition_that_goes_within_the_fetch_is_left_to_its_next_owner(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = stage.topic("in")
    consumer = Consumer(
        settings.KAFKA, group=f"g.{stage.id}", topics=[topic], rebalance=Nobody()
    )
    stage.send_all(topic, ["a", "b"])
    inner = consumer._consumer

    class Rebalancing:
        """Revokes between the first record and the others, as librdkafka may."""

        def poll(self, timeout_s: float) -> Any:
            return inner.poll(timeout_s)

        def consume(self, limit: int, timeout_s: float) -> list[Any]:
            consumer._gone.add((topic, 0))
            return []

    try:
        consumer._consumer = Rebalancing()  # type: ignore[assignment]
        wait_for(lambda: inner.poll(0.5), what="the first record")
        assert consumer.fetch(10, 5) == []
    finally:
        inner.close()


# The register


def test_a_tier_without_a_lane_goes_with_the_free_one() -> None:
    assert request_topic("pro") == "agent.requests.pro"
    assert request_topic("unheard of") == "agent.requests.free"
    assert pending_topic("discount") == "discount.queries.pending_approval"
    assert pending_topic("") == "agent.responses.pending_approval"


def test_every_topic_but_the_dead_letters_has_a_contract() -> None:
    assert [
        name for name, topic in topics.TOPICS.items() if topic.contract is None
    ] == [topics.DEAD_LETTERS]
    with pytest.raises(AssertionError):
        contract_of(topics.DEAD_LETTERS)


def test_others_are_asked_whether_they_see_what_this_client_does_not(
    stage: Stage,
) -> None:
    topic = stage.topic("in")
    consumer = stage.runner(stage.agent(reads=(topic,)))._consumer

    assert consumer.others_see([(topic, 0)], 10)
    assert not consumer.others_see([(topic, 0), (topic, 7)], 10)
