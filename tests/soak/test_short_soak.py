"""The soak in its short form, and that it does fail: a checker that finds nothing proves nothing."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.conftest import ROOT
from tests.soak.checker import Bounds
from tests.soak.faults import Planned, kinds
from tests.soak.soak import Options, Soak
from tests.soak.stage import Stage, on_stage

ONE_ANSWER = "chat_message_is_one_per_turn_and_role"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """The product on services of its own, which may be killed."""
    with on_stage(ROOT / ".run" / "test-soak") as stage:
        yield stage


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def options(seed: str, **changed: Any) -> Options:
    defaults: dict[str, Any] = {
        "seconds": 5,
        "turns_per_s": 5,
        "fault_every_s": 0,
        "users": 10,
        "tail_s": 5,
        "bounds": Bounds(late_s=10),  # other tests are under way
    }
    return Options(seed=seed, **(defaults | changed))


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("seed", "seconds", "every_s"),
    [
        ("short-2353", 17.5, 2.5),  # one of each kind: killed, ended, frozen, stopped
        pytest.param("short-416", 30, 2.5, marks=pytest.mark.long),
        pytest.param("short-69", 60, 3.0, marks=pytest.mark.long),
    ],
)
def test_nothing_is_lost_or_doubled_whatever_dies(
    stage: Stage, seed: str, seconds: float, every_s: float
) -> None:
    chosen = options(seed, seconds=seconds, fault_every_s=every_s, tail_s=60)
    soak = Soak(stage, chosen, say)

    assert soak.run() == [], [str(planned) for planned in soak.planned]


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_worker_that_publishes_after_its_commit_is_found_out(stage: Stage) -> None:
    for place in ("worker-0", "worker-1"):
        stage.processes[place].end()
    stage.start_bad_worker("worker-0", "commits-first")
    soak = Soak(stage, options("late", seconds=4), say)
    [kill] = [fault for fault in kinds(1) if fault.name == "SIGKILL worker-0"]
    soak.plan([Planned(3.0, kill, 0.0)])

    differences = soak.run()
    stage.launch("worker-1")
    stage.await_ready("worker-1")

    lost = [each for each in differences if "still open at the end" in each.what]
    assert lost
    assert all(each.trace_id for each in lost)


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_switched_off_key_is_found_out(stage: Stage) -> None:
    """With it a gate that forgets what it delivered harms nobody."""
    with forgetful_gate(stage):
        harmless = Soak(stage, options("key on"), say).run()
    assert all("a dead letter" in each.what for each in harmless), harmless

    with switched_off(stage, ONE_ANSWER), forgetful_gate(stage):
        differences = Soak(stage, options("key off"), say).run()
    twice = [each for each in differences if "with 2 answers" in each.what]
    assert twice
    assert all(each.trace_id for each in twice)


@contextmanager
def forgetful_gate(stage: Stage) -> Iterator[None]:
    stage.start_bad_worker("worker-bad", "forgetful-gate")
    try:
        yield
    finally:
        stage.processes.pop("worker-bad").end()


@contextmanager
def switched_off(stage: Stage, key: str) -> Iterator[None]:
    """Drop the key, and put it back when what it would have refused is gone."""
    url = stage.product.env["DATABASE_OWNER_URL"]
    with psycopg.connect(url, autocommit=True) as owner:
        definition = owner.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s",
            [key],
        ).fetchone()
        assert definition is not None
        owner.execute(f"ALTER TABLE chat_message DROP CONSTRAINT {key}".encode())
        yield
        owner.execute(
            "DELETE FROM chat_message later USING chat_message first "
            "WHERE later.turn_id = first.turn_id AND later.role = first.role "
            "AND later.copy_id IS NOT DISTINCT FROM first.copy_id "
            "AND later.seq > first.seq"
        )
        owner.execute(
            f"ALTER TABLE chat_message ADD CONSTRAINT {key} {definition[0]}".encode()
        )
