"""What the tests of the runtime share: a contract, records, a desk, runners in threads, Kafka from outside."""

import asyncio
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from django.conf import settings

from agents import cloudevents
from agents.agent import Agent, Answer, Context, Event, Said, Send
from agents.broker import Producer
from agents.cloudevents import Envelope, Headers
from agents.control import Control
from agents.control_state import ControlState
from agents.events import Payload
from agents.ledger import Ledger
from agents.records import Partition, Record
from agents.runner import Runner
from agents.topic_setup import ensure_topics
from agents.topics import DEAD_LETTERS, TOPICS, Topic
from agents.work import Work
from guardrails.dealer import DEALER
from guardrails.engine import compile_rules
from tests.loop_thread import LoopThread
from tests.waiting import wait_for

T = TypeVar("T")
ENGINE = compile_rules(DEALER)


class Note(Payload, frozen=True, kw_only=True):
    """What the agents of these tests read and write."""

    text: str


class Silence:
    """A model and a history that nobody asks."""

    async def answer(
        self, request_id: str, *, tier: str, messages: Sequence[Said]
    ) -> Answer:
        raise NotImplementedError

    async def delivered(self, conversation_id: str, *, before: str) -> list[Said]:
        raise NotImplementedError


def make_context(state: ControlState | None = None) -> Context:
    silence = Silence()
    return Context(
        engine=ENGINE, state=state or ControlState(), model=silence, history=silence
    )


class FreshControl(Control):
    """Control state that needs no database and never grows old."""

    def __init__(self, state: ControlState | None = None) -> None:
        super().__init__("")
        self.state = state or ControlState(version=1)
        self.engine = ENGINE

    @property
    def age_s(self) -> float:
        return 0.0

    @property
    def rules_age_s(self) -> float:
        return 0.0


def make_agent(**fields: Any) -> Agent:
    """An agent with a name, so a group, of its own; it repeats what it reads."""
    handlers = {"handle", "handle_async", "handle_batch", "handle_records"}
    defaults: dict[str, Any] = {
        "name": f"test-{uuid4().hex[:10]}",
        "description": "An agent of a test.",
        "kind": "router",
        "reads": ("in",),
        "writes": ("out",),
    }
    if not handlers & fields.keys():
        defaults["handle"] = repeat
    return Agent(**(defaults | fields))


def repeat(event: Event[Note], ctx: Context) -> Iterator[Send]:
    """Send what was read to the topic whose name is the one read with `out` for `in`."""
    yield Send(event.record.topic.replace("in", "out", 1), event.data)


def envelope(**fields: Any) -> Envelope:
    defaults = {
        "id": str(uuid4()),
        "type": "Note",
        "source": "test",
        "trace_id": "a" * 32,
    }
    return Envelope(**(defaults | fields))


def make_record(**fields: Any) -> Record:
    defaults: dict[str, Any] = {
        "topic": "in",
        "partition": 0,
        "offset": 0,
        "timestamp_ms": 1_700_000_000_000,
        "key": b"k",
        "value": msgspec.json.encode(Note(text="hello")),
        "headers": cloudevents.encode_headers(envelope()),
    }
    return Record(**(defaults | fields))


def make_work(
    ledger: Ledger,
    offset: int,
    *,
    key: bytes = b"k",
    tier: str = "",
    text: str = "hello",
) -> Work:
    """A work that is begun in its ledger."""
    record = make_record(offset=offset, key=key)
    event = Event(data=Note(text=text), envelope=envelope(tier=tier), record=record)
    ledger.begin(offset)
    return Work(record, ledger, event)


class Desk:
    """A runner's side of an executor, which writes down what it is told."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.ok: list[int] = []
        self.letters: list[tuple[int, Exception, int]] = []
        self.why: Callable[[Work], str] = lambda _: ""

    def context(self) -> Context:
        return make_context()

    def why_not(self, work: Work) -> str:
        return self.why(work)

    def succeeded(self, work: Work, sends: Iterable[Send]) -> None:
        self.ok.append(work.record.offset)
        work.finish()

    def failed(self, work: Work, error: Exception, attempts: int) -> None:
        self.letters.append((work.record.offset, error, attempts))
        work.finish()


class Running:
    """A runner that is stepped in a thread of its own."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.error: BaseException | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def partitions(self) -> int:
        return int(self.runner.status()["partitions"])

    def drain(self) -> None:
        self.halt()
        self.runner.drain()

    def kill(self) -> None:
        """End as a killed process does: nothing is waited for, nothing is committed."""
        self.halt()
        end_at_once(self.runner)

    def halt(self) -> None:
        """Step no more, and leave the runner as it is."""
        self._stopping.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self.runner.step()
        except BaseException as error:  # the test asks for it
            self.error = error
            traceback.print_exception(error)  # pytest shows it if the test fails


def end_at_once(runner: Runner) -> None:
    """Leave the group, if it has not left, without a last commit."""
    runner._consumer._rebalance = Nobody()
    runner._consumer.close()


class Nobody:
    """Hears of partitions and does nothing."""

    def assigned(self, partitions: list[Partition]) -> Mapping[Partition, int]:
        return {}

    def revoked(self, partitions: list[Partition]) -> None:
        pass

    def not_committed(self, partitions: list[Partition]) -> None:
        pass


class Stage:
    """Topics of one test on the real Kafka, and the runners that read them."""

    def __init__(self, setitem: Callable[[str, Topic], None], loop: LoopThread) -> None:
        self.id = uuid4().hex[:10]
        self._setitem = setitem
        self._loop = loop
        self._running: list[Running] = []
        self._made: list[Runner] = []
        self.producer = Producer(settings.KAFKA)

    def topic(self, name: str, *, partitions: int = 1, **fields: Any) -> str:
        """Declare and create a topic, and return its whole name."""
        declared = Topic(
            name=f"{name}.{self.id}",
            owner="test",
            partitions=partitions,
            **({"contract": Note} | fields),
        )
        self._setitem(declared.name, declared)
        ensure_topics(settings.KAFKA, [declared, TOPICS[DEAD_LETTERS]], create=True)
        return declared.name

    def agent(self, *, partitions: int = 1, **fields: Any) -> Agent:
        """An agent that reads `in` and writes `out`, both its own."""
        reads = fields.pop("reads", None) or (self.topic("in", partitions=partitions),)
        writes = fields.pop("writes", None) or (self.topic("out"),)
        return make_agent(reads=reads, writes=writes, **fields)

    def runner(
        self,
        agent: Agent,
        *,
        control: Control | None = None,
        client: Mapping[str, str] | None = None,
    ) -> Runner:
        control = control or FreshControl()
        made = Runner(
            agent,
            client=settings.KAFKA | dict(client or {}),
            control=control,
            context=lambda: make_context(control.state),
            loop=self._loop.loop,
        )
        self._made.append(made)
        return made

    def start(self, agent: Agent, *, control: Control | None = None) -> Running:
        return self.run(self.runner(agent, control=control))

    def run(self, runner: Runner) -> Running:
        running = Running(runner)
        self._running.append(running)
        return running

    def forget(self, running: Running) -> None:
        """Leave out of the cleaning what a test ended by itself."""
        self._running.remove(running)

    def on_loop(self, act: Callable[[], object]) -> None:
        self._loop.loop.call_soon_threadsafe(act)

    def close(self) -> None:
        """A consumer that is only forgotten may keep a thread of librdkafka busy for ever."""
        for running in self._running:
            running.halt()
        for runner in self._made:
            end_at_once(runner)

    def send(
        self,
        topic: str,
        text: str = "hello",
        *,
        key: str | None = "k",
        value: bytes | None = None,
        headers: Headers | None = None,
        **fields: Any,
    ) -> str:
        """Publish a note, or any bytes, and return its id."""
        of = envelope(**fields)
        self.producer.publish(
            topic,
            key=key.encode() if key is not None else None,
            value=msgspec.json.encode(Note(text=text)) if value is None else value,
            headers=cloudevents.encode_headers(of) if headers is None else headers,
            delivered=_must_be_delivered,
        )
        return of.id

    def send_all(self, topic: str, texts: Iterable[str], *, keys: int = 1) -> list[str]:
        ids = [
            self.send(topic, text, key=f"k{number % keys}")
            for number, text in enumerate(texts)
        ]
        assert self.producer.flush(10) == 0
        return ids


def _must_be_delivered(error: Exception | None) -> None:
    assert error is None, error


def read(topic: str) -> list[Record]:
    """Return everything that a topic holds now, partition by partition."""
    consumer = KafkaConsumer(
        dict(settings.KAFKA) | {"group.id": "nobody", **_NO_COMMIT}
    )
    try:
        return list(_read(consumer, topic))
    finally:
        consumer.close()


_NO_COMMIT = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "fetch.wait.max.ms": 10,
}


def _read(consumer: KafkaConsumer, topic: str) -> Iterator[Record]:
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    for number in partitions:
        low, high = consumer.get_watermark_offsets(
            TopicPartition(topic, number), timeout=10
        )
        if low < high:
            consumer.assign([TopicPartition(topic, number, low)])
        while low < high:
            message = consumer.poll(10)
            assert message is not None, f"{topic}/{number}@{low} did not come"
            assert message.error() is None, message.error()
            yield _record(message)
            low = (message.offset() or 0) + 1


def _record(message: Message) -> Record:
    return Record(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp_ms=message.timestamp()[1],
        key=_bytes(message.key()),
        value=_bytes(message.value()) or b"",
        headers=_headers(message.headers()),
    )


def _headers(headers: Any) -> Headers:
    return [(name, value or b"") for name, value in headers or ()]


def _bytes(value: Any) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def texts(topic: str) -> list[str]:
    """Return what the notes of a topic say."""
    return [msgspec.json.decode(record.value, type=Note).text for record in read(topic)]


def ids(topic: str) -> list[str]:
    return [dict(record.headers)["ce_id"].decode() for record in read(topic)]


def letters_of(agent: Agent) -> list[Record]:
    """Return the dead letters that an agent wrote."""
    name = agent.name.encode()
    return [
        r for r in read(DEAD_LETTERS) if dict(r.headers).get("ilk_dlq_agent") == name
    ]


def committed(agent: Agent) -> dict[Partition, int]:
    """Return the offsets that the agent's group has in Kafka."""
    consumer = KafkaConsumer(
        dict(settings.KAFKA)
        | {
            "group.id": f"interlock.{agent.name}",
            "group.protocol": "consumer",
            **_NO_COMMIT,
        }
    )
    asked = [
        TopicPartition(topic, number)
        for topic in agent.reads
        for number in range(TOPICS[topic].partitions)
    ]
    try:
        found = _coordinated(lambda: consumer.committed(asked, timeout=10))
    finally:
        consumer.close()
    return {(p.topic, p.partition): p.offset for p in found if p.offset >= 0}


def _coordinated(ask: Callable[[], T]) -> T:
    """Ask about a group until Kafka knows who coordinates it."""

    def answer() -> list[T]:
        try:
            return [ask()]
        except KafkaException as error:
            if error.args[0].code() not in _COORDINATOR_STARTS:
                raise
            return []

    return wait_for(answer, what="Kafka knows who coordinates the group")[0]


# A Kafka that has just started says so for a moment.
_COORDINATOR_STARTS = {
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
}


def members(agent: Agent) -> int:
    """Return how many members the agent's group has."""
    admin = AdminClient(dict(settings.KAFKA))
    group = f"interlock.{agent.name}"
    described = _coordinated(
        lambda: admin.describe_consumer_groups([group])[group].result(10)
    )
    return len(described.members)


@contextmanager
def on_loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    try:
        yield thread
    finally:
        thread.close()


async def until(fact: Callable[[], object], *, timeout_s: float = 5.0) -> None:
    """Let the loop run until the fact is there."""
    async with asyncio.timeout(timeout_s):
        while not fact():  # facts of other threads have no event
            await asyncio.sleep(0.005)
