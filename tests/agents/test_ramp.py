"""The ramp of a release: PostgreSQL gives out the slots, whoever asks."""

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from agents import ramp as ramp_module
from agents.clock import now_s
from agents.control_state import Ramp
from agents.host import conninfo
from agents.ramp import FRESH_S, Slots
from controlplane.stops import actions
from controlplane.stops.models import ReleasePace
from tests.factories import make_admin

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ramp() -> Ramp:
    stop = actions.request_stop(
        mode="soft", scope="everything", reason="drill", requester=make_admin()
    )
    actions.release_stop(stop, reason="over", releaser="ada", ramp_per_s=50)
    return Ramp(id=str(stop.pk), scope="everything", per_s=50)


@pytest.fixture
def connection() -> Iterator[ramp_module.Connection]:
    with psycopg.connect(conninfo(), autocommit=True) as opened:
        yield opened


class Worker(threading.Thread):
    """Has far more to start than it may, and starts whatever it may."""

    def __init__(self, ramps: list[Ramp], until_s: float) -> None:
        super().__init__()
        self.started_s: list[float] = []
        self._ramps, self._until_s = ramps, until_s

    def run(self) -> None:
        slots = Slots()
        with psycopg.connect(conninfo(), autocommit=True) as connection:
            while (at_s := now_s()) < self._until_s:
                for record in range(100):
                    while slots.take(self._ramps, "responder", record):
                        self.started_s.append(at_s)
                slots.draw(connection, self._ramps)
                time.sleep(0.01)  # its pace, not what is waited for


def test_many_workers_start_no_more_together_than_the_ramp(ramp: Ramp) -> None:
    until_s = now_s() + 2
    workers = [Worker([ramp], until_s) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    starts = sorted(at_s for worker in workers for at_s in worker.started_s)
    assert len(starts) > 0.7 * 2 * ramp.per_s
    for number, at_s in enumerate(starts):
        later = starts[number:]
        for count, other_s in enumerate(later, 1):
            assert count <= ramp.per_s * (other_s - at_s + FRESH_S) + 2


def test_a_slot_is_used_once_and_not_before_its_time(
    ramp: Ramp, connection: ramp_module.Connection
) -> None:
    slots = Slots()
    assert not slots.take([ramp], "responder", "a")
    slots.draw(connection, [ramp])  # the first who asks: the pace begins
    assert not slots.take([ramp], "responder", "a")
    slots.draw(connection, [ramp])

    assert slots.take([ramp], "responder", "a")
    assert not slots.take([ramp], "responder", "b")


def test_who_asks_for_little_is_not_held_back(
    ramp: Ramp, connection: ramp_module.Connection
) -> None:
    slots = Slots()
    for _ in range(2):
        for _ in range(2):  # asked twice, it is still one record
            slots.take([ramp], "responder", "a")
        slots.draw(connection, [ramp])

    pace = ReleasePace.objects.get()
    assert (pace.drawn, pace.short_at) == (1, None)


def test_who_asks_for_more_than_there_is_is_held_back(
    ramp: Ramp, connection: ramp_module.Connection
) -> None:
    slots = Slots()
    for _ in range(2):
        for record in range(500):
            slots.take([ramp], "responder", record)
        slots.draw(connection, [ramp])

    pace = ReleasePace.objects.get()
    assert pace.short_at is not None
    assert pace.drawn <= ramp.per_s * ramp_module.AHEAD_S + 1


def test_agents_have_a_pace_each(
    ramp: Ramp, connection: ramp_module.Connection
) -> None:
    slots = Slots()
    for _ in range(2):
        for agent in ("input-guard", "responder"):
            slots.take([ramp], agent, "a")
        slots.draw(connection, [ramp])

    assert slots.take([ramp], "input-guard", "a")
    assert slots.take([ramp], "responder", "a")


def test_of_two_ramps_both_must_let_it_start(
    ramp: Ramp, connection: ramp_module.Connection
) -> None:
    slow = actions.request_stop(
        mode="soft", scope="workflow", value="chat", reason="drill", requester="ada"
    )
    actions.release_stop(slow, reason="over", releaser="ada", ramp_per_s=0.001)
    ramps = [ramp, Ramp(id=str(slow.pk), scope="workflow", value="chat", per_s=0.001)]
    slots = Slots()

    for _ in range(2):
        slots.take(ramps, "responder", "a")
        slots.draw(connection, ramps)
    assert slots.take(ramps, "responder", "a")

    slots.take(ramps, "responder", "b")
    slots.draw(connection, ramps)
    assert not slots.take(ramps, "responder", "b")


def test_an_old_slot_is_worth_nothing(
    ramp: Ramp,
    connection: ramp_module.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slots = Slots()
    for _ in range(2):
        slots.take([ramp], "responder", "a")
        slots.draw(connection, [ramp])

    frozen_s = now_s() + FRESH_S + 0.2
    monkeypatch.setattr(ramp_module, "now_s", lambda: frozen_s)

    assert not slots.take([ramp], "responder", "a")


def test_a_release_that_is_over_leaves_nothing_in_hand(
    ramp: Ramp, connection: ramp_module.Connection
) -> None:
    slots = Slots()
    for _ in range(2):
        slots.take([ramp], "responder", "a")
        slots.draw(connection, [ramp])

    assert slots.draw(connection, []) == float("inf")
    assert not slots.take([ramp], "responder", "a")
