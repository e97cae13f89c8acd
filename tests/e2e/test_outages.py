"""A service is away for a while: pages say so, nothing is lost, work goes on by itself."""

import re
import sys
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from _pytest.mark import ParameterSet

from controlplane.chat import tokens
from controlplane.embedded.processes import Child
from tests.conftest import RUN_DIR
from tests.e2e.person import Look, Person
from tests.e2e.widget import Widget
from tests.soak.checker import Bounds
from tests.soak.facts import Window
from tests.soak.faults import Fault, Heal, Planned
from tests.soak.soak import Options, Soak
from tests.soak.stage import WORKERS, Stage, on_stage
from tests.waiting import wait_for

STALE_S = 3.0  # agents obey what they know of control state for so long
BEFORE_S, AFTER_S = 2.0, 2.0

# All of `make soak`: the soak's short form in `make test` has the same faults, shorter.
pytestmark = [pytest.mark.timeout(240), pytest.mark.long]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with on_stage(RUN_DIR / "outages") as stage:
        yield stage


@pytest.fixture(scope="module")
def ada(stage: Stage) -> Person:
    product = stage.product
    return Person(product.base_url, name="ada", password=product.password)


def lasting(seconds: float) -> list[ParameterSet]:
    """Freeze it for so long; `make soak` also kills it, and both for long."""
    return [
        pytest.param(freeze, seconds, id=f"frozen for {seconds:g} s"),
        pytest.param(freeze, 20.0, id="frozen for 20 s", marks=pytest.mark.long),
        pytest.param(kill, 20.0, id="killed for 20 s", marks=pytest.mark.long),
    ]


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def freeze(child: Child) -> Heal:
    child.freeze()
    return child.thaw


def kill(child: Child) -> Heal:
    child.kill()
    return child.start


class Outage:
    """Users ask all the while, and a person looks at the control room."""

    def __init__(
        self, stage: Stage, child: Child, take_away: Callable[[Child], Heal]
    ) -> None:
        self._stage = stage
        self._fault = Fault(child.name, child.name, (), lambda *_: take_away(child))

    def run(self, seconds: float, onlooker: Person) -> None:
        soak = Soak(
            self._stage,
            Options(
                seed=uuid4().hex,  # users of its own
                seconds=BEFORE_S + seconds + AFTER_S,
                turns_per_s=4,
                fault_every_s=0,
                users=8,
                tail_s=60,
                bounds=Bounds(late_s=10),  # other tests are under way
            ),
            say,
        )
        soak.plan([Planned(BEFORE_S, self._fault, seconds)])
        with onlooker.watching("/") as looks:
            differences = soak.run()
        assert differences == []
        [self.window] = soak.faults.windows
        self.clients = soak.load.clients
        self.looks = looks

    @property
    def lines(self) -> list[float]:
        """Return when users saw a line."""
        return [line.at_s for client in self.clients for line in client.live]

    @property
    def stale(self) -> Window:
        """Return when the service had been away for longer than control state may be old."""
        return Window(self.window.start_s + STALE_S, self.window.end_s)

    @property
    def lines_when_stale(self) -> list[float]:
        return [at_s for at_s in self.lines if self.stale.overlaps(at_s, at_s)]

    def shows(self, text: str) -> bool:
        return any(text in page.text for page in self.pages)

    @property
    def pages(self) -> list[Look]:
        """Return what the control room showed while the service was away."""
        return [
            look
            for look in self.looks
            if self.window.start_s < look.asked_s and look.until_s < self.window.end_s
        ]

    @property
    def told(self) -> str:
        return "\n".join(
            f"{look.status} after {look.took_s:.1f} s" for look in self.looks
        )


def delivered(stage: Stage, window: Window) -> int:
    [(count,)] = stage.product.sql(
        "SELECT count(*) FROM chat_message "
        "WHERE delivered_at > to_timestamp(%s) AND delivered_at < to_timestamp(%s)",
        window.start_s,
        window.end_s,
    )
    return int(count)


@pytest.mark.parametrize(("take_away", "seconds"), lasting(8.0))
def test_without_postgresql_nothing_is_delivered_and_nothing_lost(
    stage: Stage, ada: Person, take_away: Callable[[Child], Heal], seconds: float
) -> None:
    assert stage.backing.postgres is not None
    outage = Outage(stage, stage.backing.postgres, take_away)
    outage.run(seconds, ada)

    assert delivered(stage, outage.stale) == 0
    assert outage.lines_when_stale == []
    assert outage.shows("database does not answer"), outage.told


@pytest.mark.parametrize(("take_away", "seconds"), lasting(6.0))
def test_without_valkey_answers_go_on(
    stage: Stage, ada: Person, take_away: Callable[[Child], Heal], seconds: float
) -> None:
    assert stage.backing.valkey is not None
    outage = Outage(stage, stage.backing.valkey, take_away)
    outage.run(seconds, ada)

    assert delivered(stage, outage.stale) > 0
    assert outage.lines_when_stale
    assert outage.shows("Valkey does not answer"), outage.told


@pytest.mark.parametrize(("take_away", "seconds"), lasting(8.0))
def test_what_kafka_has_not_confirmed_is_sent_again_and_is_one_turn(
    stage: Stage, ada: Person, take_away: Callable[[Child], Heal], seconds: float
) -> None:
    assert stage.backing.kafka is not None
    [node] = stage.backing.kafka.nodes
    outage = Outage(stage, node, take_away)
    outage.run(seconds, ada)

    again = [name for client in outage.clients for name in client.unconfirmed]
    assert again
    turns = stage.product.sql(
        "SELECT count(*) FROM chat_turn t JOIN chat_outcome o ON o.turn_id = t.id "
        "WHERE t.client_id = ANY(%s) AND o.state <> 'open'",
        again,
    )
    assert turns == [(len(set(again)),)]
    assert any("Kafka does not answer" in page.text for page in outage.pages), (
        outage.told
    )


def stop_by_command(stage: Stage, mode: str) -> tuple[str, str]:
    """Return the stop's id and what the command said."""
    said = stage.product.manage("stop", mode, "--reason", "prices are wrong")
    [stop] = re.findall(r"It is (\S+)", said)
    return stop, said


def is_held(stage: Stage, trace_id: str) -> bool:
    """By the stop, once, and nothing of it has gone out."""
    held = stage.product.sql(
        "SELECT a.state, a.why FROM moderation_approval a JOIN chat_turn t ON t.id = a.turn_id "
        "WHERE t.trace_id = %s",
        trace_id,
    )
    told = stage.product.sql(
        "SELECT 1 FROM chat_message m JOIN chat_turn t ON t.id = m.turn_id "
        "WHERE t.trace_id = %s AND m.role = 'assistant'",
        trace_id,
    )
    return held == [("pending", "Hard stop on everything")] and not told


def test_stops_from_the_command_line_are_proven_and_obeyed_with_kafka_down(
    stage: Stage,
) -> None:
    assert stage.backing.kafka is not None
    [node] = stage.backing.kafka.nodes
    marker, product = uuid4().hex, stage.product
    node.kill()
    soft, said_of_soft = stop_by_command(stage, "soft")
    hard, said_of_hard = stop_by_command(stage, "hard")
    node.start()

    assert re.search(r"^proven in \d+ ms$", said_of_soft, re.MULTILINE)
    assert said_of_soft.count(": obeys") == WORKERS
    assert re.search(r"^proven in \d+ ms$", said_of_hard, re.MULTILINE)
    with Widget(product.socket_url, tokens.issue(uuid4().hex, tier="free")) as user:
        _, trace_id = user.ask(f"Does it charge fast? {marker}")
        wait_for(lambda: product.topics_of(trace_id), timeout_s=60, what="it is there")
        assert product.topics_of(trace_id) == ["user.messages.raw"]
        assert product.asked(marker) == []

        product.manage("stop", "release", soft, "--ramp", "0", "--reason", "over")
        user.status(trace_id, "waiting_for_person", timeout_s=60)
    assert is_held(stage, trace_id)
    product.manage("stop", "release", hard, "--reason", "over")
    assert is_held(stage, trace_id)
