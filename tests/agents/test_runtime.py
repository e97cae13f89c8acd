import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psycopg
import pytest
from django.conf import settings

from agents.agent import Agent, Context, Event, Send
from agents.host import conninfo
from agents.records import Partition
from agents.runtime import Runtime, Seat
from agents.tools import Service, Tools
from agents.topics import DEAD_LETTERS
from controlplane.runtime.actions import change_control, switch_agent
from controlplane.runtime.models import Heartbeat
from guardrails.actions import put_in_force
from guardrails.dealer import DEALER
from guardrails.models import RuleSet
from guardrails.rules import encode_rule_set, ruleset_hash
from tests.agents.stage import Stage, committed, make_agent, members, repeat, texts
from tests.factories import make_admin
from tests.guardrails.factories import make_masker
from tests.waiting import wait_for

Start = Callable[..., Runtime]


@pytest.fixture
def start(stage: Stage, transactional_db: None) -> Iterator[Start]:
    """Start runtimes on the test's database, and stop them."""
    stored = RuleSet.objects.create(
        hash=ruleset_hash(DEALER), body=encode_rule_set(DEALER)
    )
    put_in_force(stored, reason="Start", publisher=make_admin())
    running: list[Runtime] = []

    def make(*things: Agent | Service) -> Runtime:
        runtime = Runtime(
            [lambda _, thing=thing: thing for thing in things],  # type: ignore[misc]
            conninfo=conninfo(),
            client=settings.KAFKA,
            scorers=settings.SCORERS,
            masker=make_masker(),
            knowledge="The E-Class costs 50,000.",
        )
        running.append(runtime)
        runtime.start()
        return runtime

    yield make
    for runtime in running:
        runtime.stop()


def state_of(runtime: Runtime, name: str) -> str:
    [status] = [status for status in runtime.statuses() if status["agent"] == name]
    return str(status["state"])


def test_a_runtime_runs_its_agents_with_what_they_may_use(
    stage: Stage, start: Start
) -> None:
    seen: list[Context] = []

    def handle(event: Event[Any], ctx: Context) -> list[Send]:
        seen.append(ctx)
        return list(repeat(event, ctx))

    agent = stage.agent(handle=handle)
    runtime = start(agent)

    stage.send_all(agent.reads[0], ["a"])

    wait_for(lambda: texts(agent.writes[0]) == ["a"])
    [context] = seen
    assert context.knowledge == "The E-Class costs 50,000."
    assert context.state == runtime.control.state
    assert context.engine is runtime.control.engine
    assert context.fallback_text("free")


def test_a_runtime_beats_and_takes_its_row_away_when_it_stops(
    stage: Stage, start: Start
) -> None:
    agent = stage.agent()
    runtime = start(agent)
    row = wait_for(Heartbeat.objects.first)
    assert row is not None
    assert row.instance == runtime.heartbeat.instance
    assert [status["agent"] for status in row.agents] == [agent.name]
    wait_for(lambda: members(agent) == 1)

    stop(runtime)

    assert not Heartbeat.objects.exists()
    assert members(agent) == 0


def test_a_runtime_that_stops_leaves_no_connection_to_a_backend(start: Start) -> None:
    runtime = start()
    session = runtime._model._backends._session
    assert not session.closed

    stop(runtime)

    assert session.closed


def stop(runtime: Runtime) -> None:
    """Stop now; the fixture's stop then finds nothing left to do."""
    runtime.stop()
    runtime.stop = lambda: None  # type: ignore[method-assign]


def test_a_switched_off_agent_holds_until_it_is_switched_on(
    stage: Stage, start: Start
) -> None:
    agent = stage.agent()
    admin = make_admin("bob")
    runtime = start(agent)
    switch_agent(agent.name, paused=True, reason="x", actor=admin)
    wait_for(lambda: runtime.control.state.paused_agents)

    stage.send_all(agent.reads[0], ["a"])
    wait_for(lambda: state_of(runtime, agent.name) == "held")
    assert texts(agent.writes[0]) == []

    switch_agent(agent.name, paused=False, reason="x", actor=admin)
    wait_for(lambda: texts(agent.writes[0]) == ["a"])


def applied() -> int:
    return int(Heartbeat.objects.get().applied_version)


def test_a_worker_obeys_a_change_when_nothing_can_start_against_an_older_one(
    stage: Stage, start: Start
) -> None:
    began, may_end = threading.Event(), threading.Event()

    def handle(event: Event[Any], ctx: Context) -> list[Send]:
        began.set()
        assert may_end.wait(20)
        return []

    agent = stage.agent(handle=handle)
    admin = make_admin("bob")
    runtime = start(agent)
    wait_for(applied_once)
    before = Heartbeat.objects.get()
    stage.send_all(agent.reads[0], ["a"])
    assert began.wait(20)

    version = change_control(kind="test", subject="x", actor=admin, reason="x")
    wait_for(lambda: runtime.control.state.version == version)
    Heartbeat.objects.update(seen_at=before.started_at)
    wait_for(lambda: Heartbeat.objects.get().seen_at > before.started_at)
    assert applied() == version - 1  # the round in which it asked has not ended

    may_end.set()
    wait_for(lambda: applied() == version)
    assert Heartbeat.objects.get().applied_in_ms > 0


def applied_once() -> bool:
    return Heartbeat.objects.filter(applied_version__gt=0).exists()


def test_a_seat_can_be_paused_in_one_process(stage: Stage, start: Start) -> None:
    agent = stage.agent()
    runtime = start(agent)
    seat = runtime.seats[agent.name]
    seat.pause("paused by remote control")
    stage.send_all(agent.reads[0], ["a"])

    wait_for(lambda: seat.status()["state"] == "held")
    wait_for(lambda: seat.status()["why"] == "paused by remote control")
    assert texts(agent.writes[0]) == []

    seat.pause("")
    wait_for(lambda: texts(agent.writes[0]) == ["a"])


def test_a_runner_that_breaks_is_made_anew_and_the_old_one_leaves_the_group(
    stage: Stage, start: Start
) -> None:
    tries: list[int] = []

    def start_offsets(partitions: list[Partition]) -> Mapping[Partition, int]:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("PostgreSQL is away")
        return {}

    agent = stage.agent(start_offsets=start_offsets)
    start(agent)
    stage.send_all(agent.reads[0], ["a"])

    wait_for(lambda: texts(agent.writes[0]) == ["a"], timeout_s=30)
    assert len(tries) == 3
    assert members(agent) == 1
    wait_for(lambda: sum(committed(agent).values()) == 1)


def test_a_pause_holds_the_runner_that_comes_after_one_that_broke(stage: Stage) -> None:
    made: list[Any] = []

    class Breaking:
        paused = ""

        def __init__(self) -> None:
            made.append(self)

        def step(self) -> None:
            raise RuntimeError("broken")

        def drain(self) -> None:
            pass

    seat = Seat(make_agent(), Breaking)  # type: ignore[arg-type]
    assert seat.status()["state"] == "starting"
    seat.pause("held")
    seat.start()

    wait_for(lambda: len(made) > 1)
    assert made[1].paused == "held"
    seat.stop()
    seat.join(5)


class Failing:
    """A service that fails at first."""

    name = "failing"

    def __init__(self) -> None:
        self.runs = 0

    async def run(self) -> None:
        self.runs += 1
        if self.runs < 3:
            raise ValueError("not yet")
        await asyncio.Event().wait()

    def status(self) -> dict[str, Any]:
        return {"agent": self.name, "state": "running", "runs": self.runs}


def test_a_service_that_fails_starts_again(start: Start) -> None:
    service = Failing()
    runtime = start(service)

    wait_for(lambda: service.runs == 3)
    assert runtime.statuses() == [{"agent": "failing", "state": "running", "runs": 3}]


def test_a_build_is_given_the_tools_of_the_process(start: Start, stage: Stage) -> None:
    given: list[Tools] = []

    def build(tools: Tools) -> Agent:
        given.append(tools)
        return make_agent(reads=(DEAD_LETTERS,), handle=lambda event, ctx: [])

    runtime = Runtime(
        [build],
        conninfo=conninfo(),
        client=settings.KAFKA,
        scorers=settings.SCORERS,
        masker=make_masker(),
    )
    runtime.start()
    try:
        assert given[0].conninfo == conninfo()
    finally:
        runtime.stop()


def test_a_runtime_stops_though_the_database_is_away(
    stage: Stage, start: Start
) -> None:
    agent = stage.agent()
    runtime = start(agent)
    wait_for(Heartbeat.objects.first)
    runtime._conninfo = "host=127.0.0.1 port=1"

    stop(runtime)

    assert Heartbeat.objects.exists()  # it grows old by itself
    with psycopg.connect(conninfo()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
