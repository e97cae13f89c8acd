"""Emergency stops: requested, proven, released; each once, each with a person and a reason."""

import threading
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from agents.host import conninfo
from controlplane.audit.models import Entry
from controlplane.chat.models import Message, Turn
from controlplane.chat.settle import _ENTER, AT_WORK, BARRIER
from controlplane.clock import database_now
from controlplane.runtime.models import ControlVersion, OutboxRecord
from controlplane.stops import actions, barrier
from controlplane.stops.models import Stop
from controlplane.stops.receipt import Receipt, receipt_of
from tests.factories import make_admin, make_conversation, make_turn
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def admin() -> User:
    return make_admin()


def request_stop(admin: User, **fields: Any) -> Stop:
    defaults = {"mode": "hard", "scope": "everything", "reason": "drill"}
    return actions.request_stop(requester=admin, **(defaults | fields))


def version() -> int:
    return ControlVersion.objects.get().version


def test_a_request_is_in_force_at_once_and_on_record(admin: User) -> None:
    before = version()

    stop = request_stop(admin, scope="tier", value="pro")

    assert list(Stop.objects.in_force()) == [stop]
    assert str(stop) == "hard stop: tier pro"
    assert version() == before + 1
    entry = Entry.objects.get(action="stop_requested")
    assert (entry.actor, entry.subject) == ("ada", f"stop:{stop.pk}")
    assert entry.detail["reason"] == "drill"
    assert OutboxRecord.objects.filter(topic="controlplane.config").count() == 1


def test_a_request_has_the_time_of_postgresql(
    admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timezone, "now", lambda: datetime(2020, 1, 1, tzinfo=UTC))

    before = database_now()
    assert before < request_stop(admin).requested_at < database_now()


def test_a_request_is_one_trip_to_postgresql(
    admin: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        request_stop(admin)


def test_the_time_of_postgresql_goes_on_within_a_transaction() -> None:
    with transaction.atomic():
        assert database_now() < database_now()


def test_a_stop_requested_twice_is_one_stop(admin: User) -> None:
    first = request_stop(admin)
    before = version()

    assert request_stop(admin, reason="again") == first
    assert version() == before
    assert actions.engage_stop(
        mode="hard", scope="everything", reason="again", requester=admin
    ) == (first, False)


def test_stops_of_other_modes_and_scopes_stand_side_by_side(admin: User) -> None:
    request_stop(admin)
    request_stop(admin, mode="soft")
    request_stop(admin, scope="conversation", value="c1")

    assert Stop.objects.in_force().count() == 3


def test_a_stop_requested_by_two_at_once_is_one_stop(admin: User) -> None:
    barrier, made = threading.Barrier(2), []

    def request() -> None:
        barrier.wait()
        made.append(request_stop(admin).pk)
        connection.close()

    threads = [threading.Thread(target=request) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 1
    assert Entry.objects.filter(action="stop_requested").count() == 1


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"reason": ""}, "has_reason"),
        ({"value": "x"}, "names_what_it_stops"),
        ({"scope": "tier"}, "names_what_it_stops"),
        (
            {"mode": "soft", "scope": "conversation", "value": "c1"},
            "not_for_one_conversation",
        ),
    ],
)
def test_a_stop_that_cannot_be_is_refused_by_the_database(
    admin: User, fields: dict[str, str], constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        request_stop(admin, **fields)

    assert not Entry.objects.exists()


def test_the_proof_waits_for_every_delivery_under_way(admin: User) -> None:
    stop = request_stop(admin)
    proven = threading.Event()

    def prove() -> None:
        actions.prove_stop(stop, prover=admin)
        proven.set()
        connection.close()

    with psycopg.connect(conninfo()) as delivery:
        delivery.execute("SELECT pg_advisory_xact_lock_shared(%s)", [BARRIER])
        thread = threading.Thread(target=prove)
        thread.start()
        wait_for(_somebody_waits_for_the_barrier)
        assert not proven.is_set()
        delivery.commit()
    thread.join(5)

    assert proven.is_set()
    stop.refresh_from_db()
    assert stop.proven_at is not None
    assert stop.proven_at > stop.requested_at


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "PROOF_MS", 50)
    monkeypatch.setattr(actions, "AGAIN_MS", 1_000)


def test_a_delivery_that_holds_up_the_proof_is_ended_and_its_turns_are_listed(
    admin: User, quick: None
) -> None:
    turn = make_turn()
    stop = request_stop(admin)

    with psycopg.connect(conninfo()) as delivery:
        deliver(delivery, turn)
        proven = actions.prove_stop(stop, prover=admin)

        with pytest.raises(psycopg.OperationalError):
            delivery.commit()

    assert proven.proven_at is not None
    assert not Message.objects.filter(role="assistant").exists()
    assert listed(stop) == [("in_flight", turn.pk), ("unknown", turn.pk)]
    entry = Entry.objects.get(action="stop_ended_deliveries")
    assert entry.detail == {"deliveries": 1, "turns": 1}


def deliver(delivery: Any, turn: Turn, action: str = "reply_delivered") -> None:
    """Do what the gate does, and leave its transaction open."""
    delivery.execute(_ENTER, [BARRIER, AT_WORK, [turn.conversation_id]])
    delivery.execute(
        "INSERT INTO chat_message (conversation_id, seq, turn_id, role, text, kind, "
        "reviewed, delivered_at) VALUES (%s, 2, %s, 'assistant', 'x', 'reply', false, now())",
        [turn.conversation_id, turn.pk],
    )
    delivery.execute(
        "INSERT INTO audit_entry (at, actor, action, subject, trace_id, detail) "
        "VALUES (now(), 'gate', %s, %s, %s, '{}')",
        [action, f"turn:{turn.pk}", turn.trace_id],
    )


def listed(stop: Stop) -> list[tuple[str, str]]:
    return sorted(stop.listed.values_list("fate", "turn_id"))


def test_no_delivery_is_ended_that_began_during_the_wait(admin: User) -> None:
    stop = request_stop(admin)
    with psycopg.connect(conninfo()) as delivery:
        deliver(delivery, make_turn())
        at_request = barrier.holders()
        delivery.commit()
        deliver(delivery, make_turn())

        actions._end_overdue(stop, "test", at_request)

        delivery.commit()
    assert Message.objects.filter(role="assistant").count() == 2


def test_what_was_committed_between_request_and_proof_is_listed_and_nothing_else(
    admin: User,
) -> None:
    before, between, corrected, after = [make_turn() for _ in range(4)]
    with psycopg.connect(conninfo()) as delivery:
        deliver(delivery, before)
        delivery.commit()
        deliver(delivery, between)  # it began before the request
        deliver(delivery, corrected, "correction_delivered")
        stop = request_stop(admin)
        delivery.commit()
    actions.prove_stop(stop, prover=admin)
    with psycopg.connect(conninfo()) as delivery:
        deliver(delivery, after)

    actions.prove_stop(stop, prover=admin)

    assert listed(stop) == sorted(
        [("delivered", between.pk), ("delivered", corrected.pk)]
    )


@pytest.mark.parametrize(
    ("scope", "value", "expected"),
    [
        ("tier", "pro", {"own", "of its conversation"}),
        ("workflow", "chat", {"own", "of its conversation", "other"}),
        ("workflow", "leads", set()),
        ("conversation", "c_own", {"own"}),
        ("everything", "", {"own", "of its conversation", "other"}),
    ],
)
def test_only_what_is_in_scope_is_listed(
    admin: User, scope: str, value: str, expected: set[str]
) -> None:
    turns = {
        "own": make_turn(make_conversation(id="c_own"), tier="pro"),
        "of its conversation": make_turn(make_conversation(tier="pro")),
        "other": make_turn(make_conversation(), tier="free"),
    }
    with psycopg.connect(conninfo()) as delivery:
        for turn in turns.values():
            deliver(delivery, turn)
        stop = request_stop(admin, scope=scope, value=value)
        delivery.commit()

    actions.prove_stop(stop, prover=admin)

    listed_turns = set(stop.listed.values_list("turn_id", flat=True))
    assert {name for name, turn in turns.items() if turn.pk in listed_turns} == expected


def test_a_proof_that_nothing_helps_ends_in_time_and_may_be_tried_again(
    admin: User, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = request_stop(admin)
    monkeypatch.setattr(barrier, "end", lambda _: False)

    with psycopg.connect(conninfo()) as first, psycopg.connect(conninfo()) as second:
        first.execute("SELECT pg_advisory_xact_lock_shared(%s)", [BARRIER])
        with pytest.raises(actions.NotProvenError, match="Prove it again"):
            actions.prove_stop(stop, prover=admin)
        assert list(Stop.objects.in_force()) == [stop]
        assert Stop.objects.get().proven_at is None
        assert not Entry.objects.filter(action="stop_proven").exists()
        cursor = second.execute(
            "SELECT pg_try_advisory_xact_lock_shared(%s)", [BARRIER]
        )
        assert cursor.fetchone() == (True,)  # deliveries go on meanwhile
        first.commit()
        second.commit()

    assert actions.prove_stop(stop, prover=admin).proven_at is not None


def test_deliveries_stall_for_two_seconds_at_most() -> None:
    assert actions.PROOF_MS == 2_000


def _somebody_waits_for_the_barrier() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        )
        return cursor.fetchone() is not None


def test_the_first_proof_counts(admin: User) -> None:
    stop = request_stop(admin)
    first = actions.prove_stop(stop, prover=admin).proven_at

    assert actions.prove_stop(stop, prover=admin).proven_at == first
    assert Stop.objects.get().proven_at == first


def test_a_proof_is_on_record_once_with_how_long_it_took(admin: User) -> None:
    stop = request_stop(admin)

    actions.prove_stop(stop, prover="interlock stop")
    actions.prove_stop(stop, prover=admin)

    entry = Entry.objects.get(action="stop_proven")
    assert (entry.actor, entry.subject) == ("interlock stop", f"stop:{stop.pk}")
    stop.refresh_from_db()
    assert stop.proven_at is not None
    took_s = (stop.proven_at - stop.requested_at).total_seconds()
    assert entry.detail == {"took_ms": round(took_s * 1000)}


def test_a_proof_inside_of_a_transaction_is_refused(admin: User) -> None:
    stop = request_stop(admin)

    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        actions.prove_stop(stop, prover=admin)


def test_a_release_counts_once_and_is_on_record(admin: User) -> None:
    stop = request_stop(admin)

    assert actions.release_stop(stop, reason="over", releaser=admin)
    assert not actions.release_stop(stop, reason="over", releaser=admin)

    assert not Stop.objects.in_force().exists()
    assert Entry.objects.filter(action="stop_released").count() == 1


def test_a_release_without_a_reason_is_refused(admin: User) -> None:
    stop = request_stop(admin)

    with pytest.raises(DatabaseError, match="person_and_reason"):
        actions.release_stop(stop, reason="", releaser=admin)

    assert Stop.objects.in_force().exists()


def test_a_stop_can_be_engaged_while_a_release_counts_its_receipt(
    admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receipt of a day of many turns takes a while."""
    released = request_stop(admin)
    engaged: list[Stop] = []

    def engage() -> None:
        with closing(connection), connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
            try:
                engaged.append(request_stop(admin, scope="tier", value="pro"))
            finally:
                cursor.execute("RESET lock_timeout")  # the pool keeps the session

    def count_slowly(stop: Stop) -> Receipt:
        thread = threading.Thread(target=engage)
        thread.start()
        thread.join()
        return receipt_of(stop)

    monkeypatch.setattr(actions, "receipt_of", count_slowly)

    actions.release_stop(released, reason="over", releaser=admin)

    assert list(Stop.objects.in_force()) == engaged
    assert len(engaged) == 1


def test_what_was_released_may_be_stopped_again(admin: User) -> None:
    stop = request_stop(admin)
    actions.release_stop(stop, reason="over", releaser=admin)

    assert request_stop(admin) != stop
