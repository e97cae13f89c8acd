"""The gate of effects against PostgreSQL: who gets what, what a stop covers, what a late word is worth."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from agents import registry
from agents.host import conninfo
from agents.postgres import Database
from controlplane.audit.models import Entry
from controlplane.chat.settlement import Settlement
from controlplane.chat.turns import ConversationState, StopInForce, TurnState
from controlplane.effects import actions, claims
from controlplane.effects.claims import Claim
from controlplane.effects.models import Effect
from controlplane.stops.actions import prove_stop, release_stop
from tests.effects.making import make_effect, states, stop
from tests.factories import make_admin
from tests.loop_thread import LoopThread

pytestmark = pytest.mark.django_db(transaction=True)


class Gate:
    """One sender's side of the gate, from a test."""

    def __init__(self, loop_thread: LoopThread) -> None:
        self._loop = loop_thread
        self._database = Database(conninfo(), max_size=2)
        loop_thread.run(self._database.open())

    def close(self) -> None:
        self._loop.run(self._database.close())

    def _do(self, call: Any, *given: Any, **named: Any) -> Any:
        async def run() -> Any:
            async with self._database.connection() as connection:
                return await call(connection, *given, **named)

        return self._loop.run(run())

    def look(self) -> int:
        return int(self._do(claims.look, at_most=4))

    def claim(self) -> Claim | None:
        found: Claim | None = self._do(claims.claim, sender="test")
        return found

    def take(self) -> Claim:
        found = self.claim()
        assert found is not None
        return found

    def begin(self, mail: Claim) -> bool:
        return bool(self._do(claims.begin, mail))

    def finish(self, mail: Claim, state: str, error: str = "") -> str | None:
        found: str | None = self._do(claims.finish, mail, state, error)
        return found


@pytest.fixture
def gate(loop_thread: LoopThread) -> Iterator[Gate]:
    made = Gate(loop_thread)
    yield made
    made.close()


@pytest.fixture
def admin() -> User:
    return make_admin()


def lease_is_over() -> None:
    Effect.objects.filter(state="sending").update(
        lease_until=timezone.now() - timedelta(seconds=1)
    )


def test_each_mail_is_claimed_once_the_one_that_waited_longest_first(
    gate: Gate,
) -> None:
    make_effect("a")
    make_effect("b")
    later = timezone.now() + timedelta(minutes=1)
    make_effect("c", next_try_at=later)

    assert gate.look() == 2
    taken = [gate.claim() for _ in range(3)]

    assert [mail and mail.recipient[0] for mail in taken] == ["a", "b", None]
    assert states() == {"a": "sending", "b": "sending", "c": "waiting"}
    assert gate.look() == 0


SCOPES = [
    ("everything", "", True),
    ("workflow", "chat", True),
    ("workflow", "leads", False),
    ("agent", "responder", True),
    ("agent", "input-guard", True),  # its work is in it
    ("agent", "output-guard", False),
    ("tier", "free", True),
    ("tier", "pro", False),
    ("conversation", "c_1", True),
    ("conversation", "c_2", False),
]


@pytest.mark.parametrize(("scope", "value", "is_covered"), SCOPES)
def test_a_hard_stop_covers_the_same_mails_as_replies(
    gate: Gate,
    admin: User,
    scope: str,
    value: str,
    is_covered: bool,  # noqa: FBT001
) -> None:
    make_effect("a")
    stop(admin, scope, value)

    gate.look()

    assert (states()["a"] == "held") is is_covered
    assert (gate.claim() is None) is is_covered
    assert _holds_a_reply(scope, value) is is_covered


def _holds_a_reply(scope: str, value: str) -> bool:
    """What the gate of replies says of the like of it."""
    turn = TurnState(
        id="t",
        conversation_id="c_1",
        number=1,
        text="x",
        trace_id="",
        tier="free",
        source="responder",
        created_at=timezone.now(),
    )
    talk = ConversationState(
        id="c_1",
        tier="free",
        workflow="chat",
        latest_turn=1,
        passed_turn=0,
        latest_seq=0,
        turns={"t": turn},
    )
    settlement = Settlement(
        {"c_1": talk},
        stops=[StopInForce(scope, value, timezone.now())],
        approvals={},
        upstream=registry.upstream(),
        now=timezone.now(),
    )
    return settlement._stop(talk, turn, None) is not None


def test_a_mail_that_comes_between_looking_and_claiming_is_not_sent_past_a_stop(
    gate: Gate, admin: User
) -> None:
    stop(admin)
    gate.look()
    make_effect("a")

    assert gate.claim() is None


def test_a_claimed_mail_does_not_begin_once_a_stop_covers_it(
    gate: Gate, admin: User
) -> None:
    make_effect("a")
    mail = gate.take()
    halted = stop(admin)

    assert not gate.begin(mail)  # not even before the proof
    assert gate.finish(mail, "waiting") == "waiting"
    prove_stop(halted, prover=admin)
    assert states() == {"a": "held"}
    assert gate.finish(mail, "waiting") is None


def test_a_decision_after_the_stop_sends_and_a_later_stop_holds_again(
    gate: Gate, admin: User
) -> None:
    effect = make_effect("a")
    first = stop(admin)
    gate.look()
    actions.decide_effects([effect.pk], verb="send", reason="checked", by=admin)

    assert gate.look() == 1
    mail = gate.take()
    second = stop(admin, "tier", "free")
    assert not gate.begin(mail)
    gate.finish(mail, "waiting")
    gate.look()

    effect.refresh_from_db()
    assert (effect.state, effect.stop_id) == ("held", second.pk)
    release_stop(first, reason="over", releaser=admin)
    release_stop(second, reason="over", releaser=admin)
    gate.look()
    assert states() == {"a": "held"}  # a release sends nothing
    assert gate.claim() is None


def test_a_proof_lists_what_had_begun_alone(gate: Gate, admin: User) -> None:
    make_effect("over", state="sent")
    make_effect("a")
    make_effect("b")
    make_effect("c")
    begun, claimed = gate.take(), gate.take()
    gate.begin(begun)
    halted = stop(admin)

    prove_stop(halted, prover=admin)
    prove_stop(halted, prover=admin)

    assert states() == {"over": "sent", "a": "unknown", "b": "held", "c": "held"}
    [listed] = halted.listed_effects.all()
    assert (listed.effect_id, listed.was_unknown) == (begun.id, True)
    assert not gate.begin(claimed)
    assert gate.finish(begun, "waiting", "Refused.") is None
    assert Effect.objects.get(pk=begun.id).error == "Refused."
    assert gate.finish(begun, "sent") == "sent"
    assert gate.finish(begun, "sent") is None  # said again, as nobody heard the answer
    assert Effect.objects.get(pk=begun.id).error == ""
    entries = Entry.objects.filter(subject=f"effect:{begun.id}").order_by("pk")
    assert [(e.actor, e.action) for e in entries] == [
        ("ada", "mail_unknown"),
        ("mailer", "mail_sent"),
    ]


def test_what_is_refused_while_a_proof_waits_for_it_is_held_at_the_proof(
    gate: Gate, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_effect("a")
    mail = gate.take()
    gate.begin(mail)

    def refuse(_: object, *, within_s: float) -> None:
        gate.finish(mail, "waiting", "451 later")

    monkeypatch.setattr(actions, "_wait_for_ends", refuse)
    halted = prove_stop(stop(admin), prover=admin)

    assert states() == {"a": "held"}
    assert [each.was_unknown for each in halted.listed_effects.all()] == [False]


def test_a_stop_of_others_waits_for_no_mail(gate: Gate, admin: User) -> None:
    make_effect("a")
    gate.begin(gate.take())

    halted = prove_stop(stop(admin, "tier", "pro"), prover=admin)

    assert halted.proven_at is not None
    assert states() == {"a": "sending"}
    assert not halted.listed_effects.exists()


def test_of_a_sender_that_died_only_what_had_begun_is_unknown(gate: Gate) -> None:
    make_effect("a")
    make_effect("b")
    begun, claimed = gate.take(), gate.take()
    gate.begin(begun)
    gate.look()
    assert states() == {"a": "sending", "b": "sending"}  # while its lease runs
    lease_is_over()

    gate.look()

    assert states() == {"a": "unknown", "b": "waiting"}
    again = gate.take()
    assert (again.id, again.attempt) == (claimed.id, 2)
    assert not gate.begin(claimed)  # it was not dead, and is too late
    assert gate.finish(claimed, "waiting") is None
    assert gate.begin(again)


def test_a_word_that_comes_after_a_persons_is_kept_where_people_see_it(
    gate: Gate, admin: User
) -> None:
    effect = make_effect("a")
    mail = gate.take()
    gate.begin(mail)
    lease_is_over()
    gate.look()
    actions.decide_effects([effect.pk], verb="send", reason="not in its log", by=admin)
    gate.take()

    assert gate.finish(mail, "sent") is None

    effect.refresh_from_db()
    assert (effect.state, effect.error) == (
        "sending",
        "An earlier attempt has been sent after all.",
    )
    assert Entry.objects.filter(action="mail_sent_late").count() == 1


def test_a_refusal_that_may_pass_is_tried_later_and_later_and_not_for_ever(
    gate: Gate,
) -> None:
    effect = make_effect("a")
    pauses = []
    for _ in range(3):
        Effect.objects.update(next_try_at=timezone.now())
        asked_at = timezone.now()
        assert gate.finish(gate.take(), "waiting", "451 later") == "waiting"
        effect.refresh_from_db()
        pauses.append(round((effect.next_try_at - asked_at).total_seconds() / 10) * 10)
    assert pauses == [30, 60, 120]

    long_ago = timezone.now() - timedelta(seconds=claims.GAVE_UP_AFTER_S)
    Effect.objects.update(next_try_at=timezone.now(), created_at=long_ago)

    assert gate.finish(gate.take(), "waiting", "451 later") == "failed"


def test_senders_wait_for_locks_of_nobody(gate: Gate) -> None:
    """A stop's proof, or a person, may hold a row: the others are sent meanwhile."""
    from django.db import transaction  # noqa: PLC0415

    first = make_effect("a")
    make_effect("b")
    with transaction.atomic():
        Effect.objects.select_for_update().get(pk=first.pk)
        assert gate.take().recipient.startswith("b")
        assert connection.in_atomic_block
