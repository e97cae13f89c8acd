"""The tripwire: what it counts, when it engages, and that nobody but a person releases."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib import import_module
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection

from agents.agent import UnavailableError
from agents.host import conninfo
from agents.lags import Lags
from agents.postgres import Database
from controlplane.audit.models import Entry
from controlplane.clock import database_now
from controlplane.stops import (
    actions,
    automatic,
    lag,
    measures,
    ramp,
    tripping,
    tripwire,
)
from controlplane.stops.models import Stop, StopRule
from controlplane.stops.tripwire import Tripwire
from tests.factories import make_admin
from tests.home.making import make_heartbeat
from tests.loop_thread import LoopThread
from tests.stops.rules import (
    LONG_AGO,
    make_calls,
    make_judgements,
    make_letters,
    make_ratings,
    make_rule,
)
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

REASON = "flagged_share: 11 of the last 50 replies (22 %) flagged; trips above 20 %"
SHORT: dict[str, Any] = {"window": 4, "minimum": 4}  # so that few rows say enough


class Looking:
    """A tripwire that looks when it is told to, with lags of the test's choice."""

    def __init__(self, loop: LoopThread) -> None:
        self.lags: Lags | str = {}
        self._loop = loop
        self.database = loop.run(_open())
        self.tripwire = self.another()

    def another(self) -> Tripwire:
        return Tripwire(self.database, lambda: self.lags)

    def __call__(self) -> None:
        self._loop.run(self.tripwire.look())

    def both_at_once(self) -> None:
        other = self.another()
        futures = [self._loop.start(each.look()) for each in (self.tripwire, other)]
        for future in futures:
            future.result(30)

    def close(self) -> None:
        self._loop.run(self.database.close())


async def _open() -> Database:
    database = Database(conninfo(), max_size=4)
    await database.open()
    return database


@pytest.fixture
def look(loop_thread: LoopThread, monkeypatch: pytest.MonkeyPatch) -> Iterator[Looking]:
    monkeypatch.setattr(tripwire, "POLL_S", 0)  # it may measure again at once
    looking = Looking(loop_thread)
    yield looking
    looking.close()


@pytest.fixture
def ada() -> User:
    return make_admin()


@pytest.fixture(autouse=True)
def _no_other_rules(transactional_db: None) -> None:
    """Those that migrations make."""
    StopRule.objects.all().delete()


def flag(count: int, *, of: int) -> None:
    make_judgements("x" * count + "." * (of - count))


def test_it_engages_once_and_only_a_person_releases_and_then_old_replies_are_over(
    look: Looking, ada: User
) -> None:
    make_rule()
    flag(10, of=50)
    look()
    assert not Stop.objects.exists()  # exactly a fifth
    flag(11, of=50)

    look()

    stop = Stop.objects.get()
    assert (stop.mode, stop.scope, stop.value) == ("soft", "everything", "")
    assert (stop.requested_by, stop.reason) == ("rule:flagged-replies", REASON)
    assert (stop.state, stop.requester) == ("proven", "the rule flagged-replies")
    said = Entry.objects.filter(subject=f"stop:{stop.pk}").order_by("pk")
    assert [(each.actor, each.action) for each in said] == [
        ("rule:flagged-replies", "stop_requested"),
        ("rule:flagged-replies", "stop_proven"),
    ]
    flag(10, of=10)
    look()
    assert Stop.objects.get().state == "proven"
    actions.release_stop(stop, reason="looked at them", releaser=ada)
    look()
    assert not Stop.objects.in_force().exists()
    assert StopRule.objects.get().items == 0
    flag(11, of=50)
    look()
    assert Stop.objects.in_force().get() != stop
    assert look.tripwire.status()["done"] == 2


def test_two_that_look_at_once_engage_one_stop(look: Looking) -> None:
    make_rule()
    flag(11, of=50)

    look.both_at_once()

    assert Stop.objects.count() == 1
    assert Entry.objects.filter(action="stop_requested").count() == 1


def test_of_those_who_measured_the_same_one_engages(look: Looking) -> None:
    rule, gate, made = make_rule(), threading.Barrier(4), []

    def engage() -> None:
        gate.wait()
        made.append(automatic.engage(rule.name, armed_at=rule.changed_at, reason="x"))
        connection.close()

    threads = [threading.Thread(target=engage) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(made) == [False, False, False, True]
    assert Stop.objects.count() == 1


def test_of_two_rules_of_one_scope_that_trip_at_once_one_engages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = [make_rule(), make_rule("model-errors", metric="model_error_share")]
    # Neither sees what the other has not committed yet.
    monkeypatch.setattr(StopRule, "stops_over", lambda *_: [])

    made = [
        automatic.engage(rule.name, armed_at=rule.changed_at, reason="x")
        for rule in rules
    ]

    assert made == [True, False]
    assert Stop.objects.get().requested_by == "rule:flagged-replies"


def test_what_was_measured_before_a_release_or_a_change_engages_nothing(
    ada: User,
) -> None:
    rule = make_rule()
    before = rule.changed_at
    stop = actions.request_stop(
        mode="hard", scope="everything", reason="x", requester=ada
    )
    assert not automatic.engage(rule.name, armed_at=before, reason="x")
    actions.release_stop(stop, reason="over", releaser=ada)

    assert not automatic.engage(rule.name, armed_at=before, reason="x")

    automatic.change_rule(
        rule.name, changes={"threshold": 30.0}, reason="x", changer=ada
    )
    [(_, _, released_at)] = Stop.objects.latest_releases()
    assert not automatic.engage(rule.name, armed_at=released_at, reason="x")
    assert not Stop.objects.in_force().exists()


@pytest.mark.parametrize(
    ("mode", "scope", "value", "engages"),
    [
        ("soft", "everything", "", False),
        ("hard", "everything", "", False),
        ("soft", "workflow", "chat", False),
        ("hard", "agent", "responder", False),
        ("soft", "agent", "output-guard", True),
        ("soft", "tier", "pro", True),
        ("hard", "conversation", "c_1", True),
    ],
)
def test_it_engages_nothing_while_a_stop_of_its_scope_is_in_force_whoever_engaged_it(
    look: Looking, mode: str, scope: str, value: str, *, engages: bool
) -> None:
    make_rule(scope="agent", value="responder", **SHORT)
    flag(4, of=4)
    actions.request_stop(
        mode=mode, scope=scope, value=value, reason="x", requester="ada"
    )

    look()

    assert (Stop.objects.count() == 2) is engages


def test_one_that_is_off_counts_and_stops_nothing(look: Looking) -> None:
    make_rule(is_on=False)
    flag(50, of=50)

    look()

    assert not Stop.objects.exists()
    rule = StopRule.objects.get()
    assert (rule.count, rule.items) == (50, 50)


Rows = Callable[[], None]


@pytest.mark.parametrize(
    ("metric", "make", "scope", "value", "counted"),
    [
        ("flagged_share", lambda: make_judgements("x"), "tier", "pro", (0, 0)),
        ("flagged_share", lambda: make_judgements("x"), "tier", "free", (1, 1)),
        ("flagged_share", lambda: make_judgements("x"), "workflow", "chat", (1, 1)),
        ("flagged_share", lambda: make_judgements("x"), "agent", "responder", (1, 1)),
        (
            "flagged_share",
            lambda: make_judgements("x", source="other-guard"),
            "agent",
            "responder",
            (0, 0),
        ),
        (
            "flagged_share",  # the latest alone
            lambda: make_judgements("xx...x"),
            "everything",
            "",
            (1, 4),
        ),
        (
            "flagged_share",  # nothing from before it was changed
            lambda: make_judgements("x", judged_at=database_now() - 2 * LONG_AGO),
            "everything",
            "",
            (0, 0),
        ),
        ("model_error_share", lambda: make_calls("x."), "everything", "", (1, 2)),
        ("model_error_share", lambda: make_calls("x"), "agent", "responder", (1, 1)),
        ("model_error_share", lambda: make_calls("x"), "tier", "pro", (0, 0)),
        ("negative_feedback_share", lambda: make_ratings("x."), "everything", "", (1, 2)),
        ("negative_feedback_share", lambda: make_ratings("x"), "tier", "free", (1, 1)),
        ("negative_feedback_share", lambda: make_ratings("x"), "tier", "pro", (0, 0)),
        ("negative_feedback_share", lambda: make_ratings("x"), "workflow", "chat", (1, 1)),
        (
            "negative_feedback_share",  # said now of an answer from before
            lambda: make_ratings("x", delivered_at=database_now() - 2 * LONG_AGO),
            "everything",
            "",
            (0, 0),
        ),
        ("dead_letters_per_minute", lambda: make_letters(3), "everything", "", (3, 3)),
        ("dead_letters_per_minute", lambda: make_letters(3, age_s=9), "everything", "", (0, 0)),
        ("dead_letters_per_minute", lambda: make_letters(3), "workflow", "chat", (3, 3)),
        ("dead_letters_per_minute", lambda: make_letters(3, agent="gate"), "workflow", "chat", (0, 0)),
        ("dead_letters_per_minute", lambda: make_letters(3), "agent", "input-guard", (0, 0)),
    ],
)  # fmt: skip
def test_what_is_counted_is_of_the_scope_and_the_window(
    look: Looking,
    metric: str,
    make: Rows,
    scope: str,
    value: str,
    counted: tuple[int, int],
) -> None:
    make_rule(metric=metric, scope=scope, value=value, is_on=False, **SHORT)
    make()

    look()

    rule = StopRule.objects.get()
    assert (rule.count, rule.items, rule.unknown) == (*counted, "")
    assert rule.measured_at is not None


LAGS = {
    ("responder", "agent.requests.free"): 700,
    ("responder", "agent.requests.pro"): 40,
    ("input-guard", "user.messages.raw"): 3,
}


@pytest.mark.parametrize(
    ("scope", "value", "says"),
    [
        ("everything", "", "responder on agent.requests.free"),
        ("workflow", "chat", "responder on agent.requests.free"),
        ("tier", "pro", "responder on agent.requests.pro"),
        ("agent", "input-guard", "input-guard on user.messages.raw"),
    ],
)
def test_the_lag_is_that_of_who_in_its_scope_is_furthest_behind(
    look: Looking, scope: str, value: str, says: str
) -> None:
    make_rule(metric="lag_records", scope=scope, value=value, window=1, minimum=1)
    look.lags = LAGS

    look()

    rule = StopRule.objects.get()
    agent, _, topic = says.partition(" on ")
    assert (rule.about, rule.count) == (says, LAGS[agent, topic])


def test_a_lag_of_topics_that_are_not_there_is_unknown(look: Looking) -> None:
    fields: dict[str, Any] = {"window": 1, "minimum": 1}
    make_rule(metric="lag_records", scope="tier", value="background", **fields)
    look.lags = LAGS

    look()

    assert StopRule.objects.get().unknown == "no topic of it is there"


def test_a_lag_engages_when_it_has_risen_and_stayed_and_after_a_release_when_it_has_again(
    look: Looking, ada: User
) -> None:
    make_rule(metric="lag_records", threshold=500, window=1, minimum=1)
    look.lags = LAGS
    look()
    assert not Stop.objects.exists()
    StopRule.objects.update(above_since=database_now() - LONG_AGO / 24)
    look()
    stop = Stop.objects.get()
    assert stop.reason == (
        "lag_records: 700 records behind: responder on agent.requests.free; "
        "trips above 500 records"
    )
    actions.release_stop(stop, reason="it drains", releaser=ada)

    look()

    assert not Stop.objects.in_force().exists()
    look.lags = {("responder", "agent.requests.free"): 500}
    look()
    assert StopRule.objects.get().above_since is None
    look.lags = LAGS
    look()
    assert StopRule.objects.get().above_since is not None


def test_kafka_that_is_away_keeps_no_other_rule_from_being_judged(
    look: Looking,
) -> None:
    make_rule()
    make_rule("lag", metric="lag_records", window=1, minimum=1)
    flag(50, of=50)
    look.lags = "Kafka says: nobody answers"

    look()

    assert Stop.objects.get().requested_by == "rule:flagged-replies"
    assert StopRule.objects.get(pk="lag").unknown == "Kafka says: nobody answers"


def test_how_far_agents_are_behind_is_asked_of_kafka(
    kafka_topics: None, settings: Any
) -> None:
    asking = lag.KafkaLags(settings.KAFKA)

    seen = wait_for(lambda: _known(asking()))

    assert {agent for agent, _ in seen} == {
        "input-guard",
        "tier-router",
        "responder",
        "output-guard",
    }


def _known(seen: Lags | str) -> Lags:
    """Nothing while Kafka looks for who knows about the groups."""
    return seen if isinstance(seen, dict) else {}


def test_a_kafka_that_does_not_answer_is_told() -> None:
    said = lag.KafkaLags({"bootstrap.servers": "127.0.0.1:1"})()

    assert isinstance(said, str)
    assert said.startswith("Kafka says: ")


def test_a_figure_that_takes_too_long_is_unknown_and_others_are_judged(
    look: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_rule()
    make_rule("slow", metric="model_error_share")
    flag(50, of=50)
    monkeypatch.setitem(
        measures._STATEMENTS, "model_error_share", "SELECT 0, 0 FROM pg_sleep(5) {only}"
    )
    monkeypatch.setattr(tripwire, "_BE_QUICK", "SET LOCAL statement_timeout = 100")

    look()

    assert Stop.objects.count() == 1
    assert "to count" in StopRule.objects.get(pk="slow").unknown


def test_only_one_measures_at_a_time_and_not_what_was_just_measured(
    look: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_rule()
    with psycopg.connect(conninfo()) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [tripwire.MEASURES])
        look()
        assert look.tripwire.status()["why"] == "standing by"
    assert StopRule.objects.get().measured_at is None

    look()

    assert look.tripwire.status()["why"] == "measuring"
    monkeypatch.setattr(tripwire, "POLL_S", 600)
    look()
    assert look.tripwire.status()["why"] == "standing by"


def test_a_stop_that_could_not_be_proven_is_proven_when_its_workers_obey(
    look: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "PROOF_MS", 50)
    late = make_heartbeat(["responder"], age_s=-60, applied_version=-1)
    make_rule()
    flag(11, of=50)

    look()

    assert Stop.objects.get().state == "requested"
    late.applied_version = Stop.objects.get().control_version
    late.save(update_fields=["applied_version"])
    look()
    assert Stop.objects.get().state == "proven"


def test_it_ends_the_release_that_a_person_began_when_its_ramp_holds_nobody_back(
    look: Looking, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ramp, "CALM_FOR", timedelta(0))
    stop = actions.request_stop(
        mode="soft", scope="agent", value="responder", reason="x", requester=ada
    )
    look()
    assert Stop.objects.in_force().exists()
    actions.release_stop(stop, reason="over", releaser=ada, ramp_per_s=5)
    look()
    assert Stop.objects.get().state == "releasing"  # no worker tells of its backlog

    make_heartbeat(["responder"], age_s=-60, applied_version=1_000_000)
    look()

    assert Stop.objects.get().state == "released"


@pytest.mark.parametrize(
    "error",
    [UnavailableError("PostgreSQL: away"), OperationalError("PostgreSQL: away")],
)
def test_it_waits_while_postgresql_is_away_and_says_so(
    look: Looking,
    loop_thread: LoopThread,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[bool] = []

    async def look_once() -> None:
        looks.append(True)
        raise error

    monkeypatch.setattr(look.tripwire, "look", look_once)
    future = loop_thread.start(look.tripwire.run())
    while len(looks) < 2:  # it goes on
        pass
    future.cancel()

    status = look.tripwire.status()
    assert (status["state"], status["why"]) == ("held", "waiting: PostgreSQL: away")


def test_every_rule_that_is_shipped_can_be_counted_and_one_is_on() -> None:
    shipped = import_module("controlplane.stops.migrations.0006_automatic_stops").RULES

    assert [name for name, terms in shipped.items() if terms[-1]] == ["flagged-replies"]
    for metric, scope, value, *_ in shipped.values():
        assert tripping.refusal(metric, scope, value) == ""
