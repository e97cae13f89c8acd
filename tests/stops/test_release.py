"""A release: ramped while somebody waits for it, then over, with a receipt."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from agents.registry import AGENTS
from controlplane.audit.models import Entry
from controlplane.chat.models import Outcome
from controlplane.runtime.models import ControlVersion, Heartbeat
from controlplane.stops import actions
from controlplane.stops.models import ReleasePace, Stop
from controlplane.stops.ramp import ramp_of
from controlplane.stops.receipt import receipt_of
from tests.factories import make_admin, make_conversation, make_turn

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def admin() -> User:
    return make_admin()


def engage(admin: User, **fields: Any) -> Stop:
    defaults = {"mode": "soft", "scope": "everything", "reason": "drill"}
    return actions.request_stop(requester=admin, **(defaults | fields))


def releasing(admin: User, *, seconds_ago: float = 60, **fields: Any) -> Stop:
    stop = engage(admin, **fields)
    assert actions.release_stop(stop, reason="over", releaser=admin, ramp_per_s=20)
    stop.requested_at = stop.releasing_at = timezone.now() - timedelta(
        seconds=seconds_ago
    )
    stop.save()
    return stop


def worker(*agents: str, version: int | None = None) -> Heartbeat:
    """One that runs all agents, and has applied everything, unless other is said."""
    now = timezone.now()
    return Heartbeat.objects.create(
        instance=f"w{Heartbeat.objects.count()}",
        host="h",
        pid=1,
        started_at=now,
        seen_at=now,
        applied_version=ControlVersion.objects.get().version
        if version is None
        else version,
        applied_in_ms=1,
        agents=[{"agent": name} for name in agents or AGENTS],
    )


def outcome(state: str, **fields: Any) -> Outcome:
    turn = make_turn(**fields)
    return Outcome.objects.create(turn=turn, state=state, record_id="r")


# Its states


def test_a_soft_stop_is_releasing_until_it_is_over(admin: User) -> None:
    stop = engage(admin)

    assert actions.release_stop(stop, reason="over", releaser=admin, ramp_per_s=20)
    assert not actions.release_stop(stop, reason="again", releaser=admin)

    stop.refresh_from_db()
    assert (stop.state, stop.ramp_per_s, stop.released_by) == ("releasing", 20, "ada")
    assert stop.release_version == ControlVersion.objects.get().version
    assert not Stop.objects.in_force().exists()
    entry = Entry.objects.get(action="stop_releasing")
    assert (entry.detail["reason"], entry.detail["ramp_per_s"]) == ("over", "20")


def test_a_hard_stop_has_no_ramp(admin: User) -> None:
    stop = engage(admin, mode="hard")

    actions.release_stop(stop, reason="over", releaser=admin, ramp_per_s=20)

    stop.refresh_from_db()
    assert (stop.state, stop.ramp_per_s) == ("released", None)


def test_what_is_releasing_may_be_stopped_again_and_is_another_stop(
    admin: User,
) -> None:
    stop = releasing(admin)

    again = engage(admin)

    assert again != stop
    assert list(Stop.objects.in_force()) == [again]


def test_what_is_releasing_cannot_be_proven_any_more(admin: User) -> None:
    stop = releasing(admin)

    actions.prove_stop(stop, prover=admin)

    assert (stop.proven_at, stop.state) == (None, "releasing")


# Its end


def test_it_is_over_when_nobody_was_held_back_for_a_while(admin: User) -> None:
    stop = releasing(admin)
    worker()
    pace = ReleasePace.objects.create(
        stop=stop, agent="responder", drawn=7, short_at=timezone.now()
    )

    assert ramp_of(stop).held_back == ["responder"]
    assert actions.finish_releases("tripwire") == []

    pace.short_at = timezone.now() - timedelta(seconds=6)
    pace.save()
    assert actions.finish_releases("tripwire") == [stop]
    stop.refresh_from_db()
    assert stop.state == "released"
    assert ramp_of(stop).started == {"responder": 7}
    assert Entry.objects.get(action="stop_released").actor == "tripwire"


def test_it_is_not_over_before_anybody_could_ask(admin: User) -> None:
    stop = releasing(admin, seconds_ago=1)
    worker()

    assert ramp_of(stop).is_new
    assert actions.finish_releases("tripwire") == []


def test_it_is_not_over_while_nobody_runs_one_of_its_agents(admin: User) -> None:
    stop = releasing(admin, scope="workflow", value="chat")
    worker(*(name for name in AGENTS if name != "responder"))

    assert ramp_of(stop).nobody_runs == ["responder"]
    assert actions.finish_releases("tripwire") == []


def test_it_is_not_over_while_a_worker_has_not_heard_of_it(admin: User) -> None:
    stop = releasing(admin)
    worker()
    worker("responder", version=0)

    assert ramp_of(stop).behind == ["w1"]
    assert actions.finish_releases("tripwire") == []


def test_a_person_may_end_the_ramp(admin: User) -> None:
    stop = releasing(admin)

    assert actions.finish_release(stop, reason="no need", finisher=admin)
    assert not actions.finish_release(stop, reason="no need", finisher=admin)

    assert Entry.objects.filter(action="stop_released").count() == 1


def test_two_who_end_it_at_once_end_it_once(admin: User) -> None:
    releasing(admin)
    worker()
    barrier, ended = threading.Barrier(2), []

    def end() -> None:
        barrier.wait()
        ended.extend(actions.finish_releases("tripwire"))
        connection.close()

    threads = [threading.Thread(target=end) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(ended) == 1
    assert Entry.objects.filter(action="stop_receipt").count() == 1


# Its receipt


def test_every_turn_that_a_stop_met_is_in_exactly_one_place(admin: User) -> None:
    before = outcome("delivered")
    waits_for_people = outcome("held")
    on_its_way = outcome("open")
    long_ago = timezone.now() - timedelta(hours=1)
    Outcome.objects.filter(pk__in=[before.pk, waits_for_people.pk]).update(
        changed_at=long_ago
    )
    type(before.turn).objects.update(created_at=long_ago)
    stop = engage(admin)
    for state in ("delivered", "rejected", "expired", "held", "approved", "failed"):
        outcome(state)
    make_turn()  # the intake has not come to it
    make_turn(accepted_at=None)  # Kafka has not confirmed it: it was not taken in

    receipt = receipt_of(stop)

    assert (receipt.taken_in, receipt.finished, receipt.held) == (9, 3, 3)
    assert (receipt.failed, receipt.under_way, receipt.without_outcome) == (1, 1, 1)
    assert not receipt.is_whole

    Outcome.objects.filter(pk=on_its_way.pk).update(state="delivered")
    Outcome.objects.create(
        turn=type(before.turn).objects.get(outcomes=None, accepted_at__isnull=False),
        state="failed",
    )
    assert receipt_of(stop).is_whole


def test_a_receipt_is_of_its_scope_and_of_its_time(admin: User) -> None:
    stop = engage(admin, scope="tier", value="pro")
    pro = make_conversation(tier="pro")
    outcome("delivered", conversation=pro, tier="pro")
    outcome("delivered", tier="free")
    actions.release_stop(stop, reason="over", releaser=admin)
    outcome("delivered", conversation=pro, tier="pro")

    assert receipt_of(stop).taken_in == 1
    assert Entry.objects.get(action="stop_receipt").detail["taken_in"] == 1
