"""A worker that is frozen in the middle of a delivery cannot hold up a hard stop, nor slip through it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from signal import SIGCONT, SIGKILL

import pytest

from controlplane.audit.models import Entry
from tests.e2e.product import ROOT
from tests.factories import make_conversation, make_turn
from tests.moderation.rows import database_url
from tests.stops.flips import gates
from tests.stops.flips.checker import differences
from tests.stops.flips.crew import at_work
from tests.stops.flips.flipper import engage, prove_stop, release, wait_until_over
from tests.stops.flips.rows import Look, flip_of
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

TURN, CONVERSATION = "t-frozen", "c-frozen"
PROVEN_WITHIN_S = 5.0


@pytest.fixture
def worker() -> Iterator["subprocess.Popen[bytes]"]:
    module = ("-m", "tests.stops.flips.frozen_gate", TURN, CONVERSATION)
    started = subprocess.Popen(
        [sys.executable, *module],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database_url()},
    )
    yield started
    if started.poll() is None:
        started.send_signal(SIGKILL)
    started.wait()


def is_frozen(worker: "subprocess.Popen[bytes]") -> bool:
    told = os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
    return told is not None


def test_a_frozen_worker_is_ended_listed_and_commits_nothing_when_it_wakes(
    worker: "subprocess.Popen[bytes]", look: Look
) -> None:
    make_turn(make_conversation(id=CONVERSATION), id=TURN)
    wait_for(lambda: is_frozen(worker), what="it freezes in its transaction")
    with at_work(gates.gate(None, size=4), size=4) as crew:
        wait_for(lambda: sum(crew.rounds) > 0, what="the others deliver")
        began_s = time.monotonic()
        stop = engage()
        prove_stop(stop)
        took_s = time.monotonic() - began_s
        seen = look.snapshot()
        worker.send_signal(SIGCONT)
        assert worker.wait(20) == 0
        wait_until_over(look)
        until = look.snapshot()
        release(stop)

    assert took_s < PROVEN_WITHIN_S
    unknown = stop.listed.filter(fate="unknown")
    assert list(unknown.values_list("turn_id", flat=True)) == [TURN]
    ended = Entry.objects.get(action="stop_ended_deliveries")
    assert ended.detail == {"deliveries": 1, "turns": 1}
    facts = look.facts(crew.given | {TURN}, [flip_of(stop, seen=seen, until=until)])
    assert differences(facts) == []
    assert facts.queue.count(TURN) == 1
