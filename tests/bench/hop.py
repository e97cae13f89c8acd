"""One hop on real Kafka, against bare loops and against FastStream, in one run; and the input guard as one."""

import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle, islice
from uuid import uuid4

import msgspec
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from agents import cloudevents, topics
from agents.agent import Agent, Context, Event, Send
from agents.chat import input_guard
from agents.clock import now_s
from agents.cloudevents import Envelope
from agents.control import Control
from agents.control_state import ControlState
from agents.events import BlockedMessage, CleanedMessage, Payload, UserMessage
from agents.interpreter import tune_interpreter
from agents.runner import Runner
from agents.topics import Topic
from guardrails.context import Context as Checked
from guardrails.engine import Engine, compile_rules
from guardrails.rules import RuleSet
from tests.bench import guard
from tests.bench.peer import faststream

RECORDS = 100_000
PARTITIONS = 6
BATCH = 1_000
ROUNDS = 3
TEXT = "What does the new estate cost, and when could I drive it? " * 4

Client = dict[str, str]
Way = Callable[[Client, str, str], float]


def measure(client: Client) -> dict[str, float]:
    """Return records per second, the median of some rounds in which each way takes its turn."""
    source, sink = _make_topics(client, UserMessage, UserMessage)
    _fill(client, source, [TEXT])
    ways: dict[str, Way] = {
        "bare, value only": _bare,
        "bare, with the headers": _bare_with_headers,
        "runner": _runner,
        "faststream": _faststream,
    }
    return _in_turns(ways, client, source, sink)


def measure_guard(client: Client) -> dict[str, float]:
    """The same of the input guard on fresh texts: with rules, with none, and beside a bare loop."""
    rules = guard.make_rules(guard.PATTERNS, guard.TERMS)
    source, *sinks = _make_topics(client, UserMessage, CleanedMessage, BlockedMessage)
    _fill(client, source, guard.make_texts(rules, length=300))
    ways: dict[str, Way] = {
        "bare": _bare_with_headers,
        "no rules": partial(_guard, sinks, compile_rules(RuleSet(()))),
        "rules": partial(_guard, sinks, compile_rules(rules.rule_set)),
    }
    return _in_turns(ways, client, source, sinks[0])


def _in_turns(
    ways: Mapping[str, Way], client: Client, source: str, sink: str
) -> dict[str, float]:
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            figures[name].append(way(client, source, sink))
    return {name: statistics.median(per_s) for name, per_s in figures.items()}


def _make_topics(client: Client, *contracts: type[Payload]) -> list[str]:
    made = [
        Topic(name=f"bench.{uuid4().hex}", owner="bench", contract=contract)
        for contract in contracts
    ]
    admin = AdminClient(dict(client))
    new = [NewTopic(topic.name, num_partitions=PARTITIONS) for topic in made]
    for future in admin.create_topics(new).values():
        future.result()
    topics.TOPICS.update({topic.name: topic for topic in made})
    return [topic.name for topic in made]


def _fill(client: Client, topic: str, texts: Sequence[str]) -> None:
    producer = Producer(
        dict(client) | {"linger.ms": 5, "queue.buffering.max.messages": 500_000}
    )
    for number, text in enumerate(islice(cycle(texts), RECORDS)):
        conversation = f"c_{number % 500}"
        message = UserMessage(conversation_id=conversation, text=text, user="u_1")
        event_id = str(uuid4())
        envelope = Envelope(
            id=event_id,
            type="UserMessage",
            source="bench",
            trace_id=cloudevents.trace_id_of(event_id),
            workflow="bench",
            tier="free",
        )
        producer.produce(
            topic,
            msgspec.json.encode(message),
            conversation.encode(),
            headers=list(cloudevents.encode_headers(envelope)),
        )
        producer.poll(0)
    producer.flush(60)


def _bare(client: Client, source: str, sink: str) -> float:
    return _bare_loop(client, source, sink, with_headers=False)


def _bare_with_headers(client: Client, source: str, sink: str) -> float:
    """The same records on the wire: as many headers, as many bytes."""
    return _bare_loop(client, source, sink, with_headers=True)


def _bare_loop(client: Client, source: str, sink: str, *, with_headers: bool) -> float:
    consumer = Consumer(
        dict(client)
        | {
            "group.id": f"bare-{uuid4().hex}",
            "group.protocol": "consumer",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 5,
        }
    )
    producer = Producer(
        dict(client)
        | {
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 0,
            "compression.type": "lz4",
        }
    )
    decoder = msgspec.json.Decoder(UserMessage)
    consumer.subscribe([source])
    done, started_s = 0, 0.0
    while done < RECORDS:
        messages = consumer.consume(BATCH, 0.1)
        started_s = started_s or (time.perf_counter() if messages else 0.0)
        for message in messages:
            data = decoder.decode(message.value() or b"")
            value = msgspec.json.encode(data)
            if with_headers:
                headers = message.headers() or []
                producer.produce(sink, value, message.key(), headers=headers)
            else:
                producer.produce(sink, value, message.key())
            producer.poll(0)
        if messages:
            producer.flush(30)
            consumer.commit(asynchronous=True)
        done += len(messages)
    took_s = time.perf_counter() - started_s
    consumer.close()
    return RECORDS / took_s


class _Fresh(Control):
    """Control state that is always current, so that the hop alone is measured."""

    def __init__(self, engine: Engine) -> None:
        super().__init__("")
        self.state = ControlState(version=1)
        self.engine = engine
        self._read_at_s = self._ruled_at_s = now_s() + 3_600


def _runner(client: Client, source: str, sink: str) -> float:
    checked = Checked(direction="input", tier="free", workflow="chat")

    def handle(event: Event[UserMessage], ctx: Context) -> list[Send]:
        ctx.engine.check(event.data.text, checked)
        return [Send(sink, event.data)]

    agent = Agent(
        name=f"bench-{uuid4().hex}",
        description="One hop.",
        kind="guard",
        reads=(source,),
        writes=(sink,),
        handle=handle,
    )
    return _run(client, agent, compile_rules(RuleSet(())))


def _guard(
    sinks: Sequence[str], engine: Engine, client: Client, source: str, _: str
) -> float:
    """The agent as it is, but for the names of its topics."""
    named = dict(zip((topics.USER_CLEANED, topics.USER_BLOCKED), sinks, strict=True))

    def handle(event: Event[UserMessage], ctx: Context) -> Iterator[Send]:
        for send in input_guard.handle(event, ctx):
            yield Send(named[send.topic], send.data)

    agent = msgspec.structs.replace(
        input_guard.AGENT,
        name=f"bench-{uuid4().hex}",
        reads=(source,),
        writes=tuple(sinks),
        handle=handle,
    )
    return _run(client, agent, engine)


def _run(client: Client, agent: Agent, engine: Engine) -> float:
    control = _Fresh(engine)
    context = Context(engine=engine, state=control.state, model=None, history=None)  # type: ignore[arg-type]
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    tune_interpreter()
    runner = Runner(
        agent, client=client, control=control, context=lambda: context, loop=loop
    )
    started_s = 0.0
    while runner.done < RECORDS:
        if runner.step() and not started_s:
            started_s = time.perf_counter()
    runner.drain()
    took_s = time.perf_counter() - started_s
    loop.call_soon_threadsafe(loop.stop)
    return RECORDS / took_s


def _faststream(client: Client, source: str, sink: str) -> float:
    return faststream(client, source, sink, records=RECORDS)
