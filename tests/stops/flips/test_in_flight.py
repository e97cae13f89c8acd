"""A hard stop falls while two hundred texts of every kind are on their way to their users."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from agents.postgres import Database
from controlplane.chat import sweeper
from controlplane.chat.models import Message, Outcome, Turn
from controlplane.chat.turns import Fact, sha256
from moderation.models import Approval, Decision
from tests.chat.making import commit, decided, reply
from tests.factories import make_approval, make_conversation, make_moderator, make_turn
from tests.loop_thread import LoopThread
from tests.stops.flips import gates
from tests.stops.flips.checker import Flip, differences
from tests.stops.flips.flipper import engage, prove_stop, release, wait_until_over
from tests.stops.flips.rows import Look, flip_of
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

ANSWERS = ("reply", "refusal", "fallback")
DECISIONS = ("approved", "rejected", "expired")
KINDS = len(ANSWERS) + len(DECISIONS)
EACH, BEFORE, OF_SWEEPER = 35, 1, 5  # of a kind; of those, delivered before the stop
GATES, BATCH = 8, 5
LONG_AGO = timedelta(minutes=1)


class Gate:
    """Settles batches side by side, each in a transaction, the real gate's but for its window."""

    def __init__(self) -> None:
        self._loop = LoopThread()
        design = gates.REAL["window before the lock"]
        self._database: Database = gates.gate(design, size=GATES)
        self._loop.run(self._database.open())

    def close(self) -> None:
        self._loop.run(self._database.close())
        self._loop.close()

    def settle(self, facts: Sequence[Fact]) -> None:
        self.start(facts).result(30)

    def start(self, facts: Sequence[Fact]) -> Future[None]:
        return self._loop.start(self._settle(facts))

    async def _settle(self, facts: Sequence[Fact]) -> None:
        batches = [
            facts[start : start + BATCH] for start in range(0, len(facts), BATCH)
        ]
        await asyncio.gather(*(commit(self._database, *each) for each in batches))


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.close()


@pytest.fixture
def mira() -> User:
    return make_moderator("mira")


def make_answer(kind: str) -> Fact:
    turn = make_turn()
    return reply(turn.pk, turn.conversation_id, text_kind=kind, text=f"a {kind}")


def decide(approval: Approval, state: str, mira: User) -> Fact:
    """Decide on it; return what the gate then reads."""
    approval.state = Approval.State(state)
    approval.save(update_fields=["state"])
    verdict = (
        Decision.Verdict.APPROVE if state == "approved" else Decision.Verdict.REJECT
    )
    Decision.objects.create(
        approval=approval,
        verdict=verdict,
        text=approval.text,
        text_sha256=sha256(approval.text),
        reason="because",
        decided_by=mira,
    )
    turn = approval.turn
    return decided(
        state, str(approval.pk), turn.pk, turn.conversation_id, text=approval.text
    )


def make_facts(mira: User) -> list[Fact]:
    """Return as many of each kind, one kind after the other again and again."""
    return [
        fact
        for _ in range(EACH)
        for fact in (
            *(make_answer(kind) for kind in ANSWERS),
            *(decide(make_approval(), state, mira) for state in DECISIONS),
        )
    ]


def make_overdue() -> list[Turn]:
    """Turns that nobody answered in time."""
    turns = [
        make_turn(deadline_at=timezone.now() - LONG_AGO) for _ in range(OF_SWEEPER)
    ]
    Outcome.objects.bulk_create(Outcome(turn=turn) for turn in turns)
    return turns


def make_waiting() -> list[Turn]:
    """Turns whose answer waits behind a question that Kafka never confirmed."""
    conversations = [make_conversation() for _ in range(OF_SWEEPER)]
    for conversation in conversations:
        make_turn(conversation, accepted_at=None)
    Turn.objects.update(created_at=timezone.now() - LONG_AGO)
    turns = [make_turn(conversation) for conversation in conversations]
    Outcome.objects.bulk_create(
        Outcome(
            turn=turn,
            record_id=f"final-{turn.pk}",
            text="ready",
            kind="reply",
            changed_at=timezone.now() - LONG_AGO,
        )
        for turn in turns
    )
    return turns


def stop_while(
    look: Look, gate: Gate, in_flight: Sequence[Fact], meanwhile: Callable[[], None]
) -> Flip:
    """Stop everything while all gates are busy and the others wait for one; release it afterwards."""
    with look.closed_window():
        under_way = gate.start(in_flight)
        wait_for(lambda: look.in_window() == GATES, what="all gates are busy")
        stop = engage()
        prove_stop(stop)
        seen = look.snapshot()
    under_way.result(30)
    meanwhile()
    wait_until_over(look)
    until = look.snapshot()
    release(stop)
    return flip_of(stop, seen=seen, until=until)


def test_none_of_two_hundred_goes_out_after_the_proof(
    look: Look, gate: Gate, mira: User
) -> None:
    waiting, overdue = make_waiting(), make_overdue()
    facts = make_facts(mira)
    in_flight = facts[BEFORE * KINDS :]
    approvals = [make_approval() for _ in range(OF_SWEEPER)]
    assert len(in_flight) >= 200
    gate.settle(facts[: BEFORE * KINDS])

    def meanwhile() -> None:
        sweeper.sweep()
        gate.settle([decide(each, "approved", mira) for each in approvals])

    flip = stop_while(look, gate, in_flight, meanwhile)
    gate.settle(facts)  # Kafka tells them again
    sweeper.sweep()

    held = {fact.turn_id for fact in in_flight} | {turn.pk for turn in waiting}
    given = held | {fact.turn_id for fact in facts}
    given |= {each.turn_id for each in approvals}
    assert differences(look.facts(given, [flip])) == []
    pending = Approval.objects.filter(state="pending")
    assert set(pending.values_list("turn_id", flat=True)) == held
    assert {each.why for each in pending} == {"Hard stop on everything"}
    told = Message.objects.filter(role="assistant").values_list("kind", flat=True)
    assert Counter(told) == Counter(
        reply=2 * BEFORE + OF_SWEEPER,
        refusal=BEFORE,
        fallback=BEFORE,
        safe_text=2 * BEFORE,
    )
    failed = Outcome.objects.filter(turn__in=overdue)
    assert {each.state for each in failed} == {"failed"}
