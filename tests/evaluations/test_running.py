"""An evaluation is worked on bit by bit, cancelled at once, and goes on where a dead worker had been."""

import threading
from concurrent.futures import Future
from typing import Any

import msgspec
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import F
from django.test import override_settings
from django.utils import timezone

from controlplane import jobs
from controlplane.audit.models import Entry
from controlplane.evaluations import actions, running, tasks
from controlplane.evaluations.models import Evaluation
from controlplane.evaluations.tasks import run
from controlplane.jobs import LOST_AFTER
from guardrails import scored
from guardrails.actions import InvalidRulesError
from guardrails.evaluation import Evaluation as Found
from guardrails.evaluation import Row
from guardrails.rules import Rule
from tests.agents.scorers.endpoint import settings_for
from tests.factories import make_admin, make_user
from tests.guardrails.factories import make_score, make_set, make_terms

pytestmark = pytest.mark.django_db

BRANDS = make_terms()


@pytest.fixture
def ada() -> User:
    return make_admin()


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wake-up checks one batch."""
    monkeypatch.setattr(jobs, "RUN_S", 0.0)


def make_rows(count: int) -> list[Row]:
    """One in two has a brand in it; of those without one, one in ten is said to."""
    return [
        Row(
            file="a.csv",
            number=number,
            text="A Tesla" if number % 2 else f"Hello\0 {number}",
            is_hit=number % 2 == 1 or number % 20 == 0,
            direction="output",
            tier="free",
        )
        for number in range(count)
    ]


def start(by: User, *rules: Rule, count: int = 90) -> Evaluation:
    rows = make_rows(count)
    return actions.start_evaluation(
        make_set(*(rules or (BRANDS,))), rows, file="a.csv", rules="draft", by=by
    )


def finish(job: Evaluation) -> Found:
    while job.is_unfinished:
        before = job.done
        run()
        job.refresh_from_db()
        assert job.done > before or not job.is_unfinished
    assert job.result is not None
    return msgspec.json.decode(bytes(job.result), type=Found)


def lose(job: Evaluation) -> None:
    """Let it be with a worker that is not heard any more."""
    Evaluation.objects.filter(pk=job.pk).update(
        lease=job.pk, beat_at=F("beat_at") - LOST_AFTER
    )


def test_every_text_is_checked_and_then_forgotten(ada: User) -> None:
    job = start(ada)

    found = finish(job)

    assert (job.state, job.done, job.total, job.lease) == ("done", 90, 90, None)
    assert job.finished_at
    assert job.texts is None
    assert (found.rows, found.whole.true_positives) == (90, 45)
    assert (found.whole.false_negatives, found.whole.false_positives) == (5, 0)
    actions_of = Entry.objects.values_list("action", flat=True)
    assert "evaluation_started" in actions_of


@pytest.mark.usefixtures("slowly")
def test_it_is_the_same_in_many_turns(ada: User) -> None:
    job = start(ada)
    run()
    job.refresh_from_db()
    assert (job.state, job.done, job.lease) == ("running", 32, None)
    assert job.texts

    found = finish(job)

    assert (found.rows, found.whole.true_positives) == (90, 45)
    assert found.rules["brands"].hits == 45


@pytest.mark.usefixtures("slowly")
def test_a_cancelled_one_keeps_what_it_found_and_no_texts(ada: User) -> None:
    job = start(ada)
    run()

    actions.cancel_evaluation(job.pk, by=ada)
    run()

    job.refresh_from_db()
    assert (job.state, job.done, job.texts) == ("cancelled", 32, None)
    assert job.result
    actions.cancel_evaluation(job.pk, by=ada)
    assert Entry.objects.filter(action="evaluation_cancelled").count() == 1


def test_cancelling_stops_a_turn_in_the_middle(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start(ada)
    monkeypatch.setattr(jobs, "SAVE_EVERY_S", 0.0)
    step = running._Run._step  # the moment between two steps

    def cancelled_meanwhile(self: Any) -> bool:
        actions.cancel_evaluation(job.pk, by=ada)
        return step(self)

    monkeypatch.setattr(running._Run, "_step", cancelled_meanwhile)
    run()

    job.refresh_from_db()
    assert (job.state, job.done, job.texts) == ("cancelled", 0, None)


@pytest.mark.usefixtures("slowly")
def test_another_worker_goes_on_where_a_dead_one_was(ada: User) -> None:
    job = start(ada)
    run()
    lose(job)

    found = finish(job)

    assert (found.rows, job.losses) == (90, 0)


def test_a_worker_that_is_heard_keeps_it(ada: User) -> None:
    job = start(ada)
    Evaluation.objects.filter(pk=job.pk).update(lease=job.pk)

    run()

    job.refresh_from_db()
    assert (job.state, job.done) == ("queued", 0)


def test_one_that_kills_its_workers_is_given_up(ada: User) -> None:
    job = start(ada)
    lose(job)
    Evaluation.objects.filter(pk=job.pk).update(losses=jobs.MAX_LOSSES - 1)

    run()

    job.refresh_from_db()
    assert (job.state, job.texts) == ("failed", None)
    assert job.reason == jobs.LOST


def test_one_of_another_version_of_the_product_fails_with_a_reason(ada: User) -> None:
    job = start(ada)
    Evaluation.objects.filter(pk=job.pk).update(rules_body=b'{"rules":[{"new":1}]}')

    run()

    job.refresh_from_db()
    assert (job.state, job.reason) == ("failed", running.UNREADABLE)


def test_each_person_has_one_at_a_time(ada: User) -> None:
    job = start(ada)

    with pytest.raises(actions.BusyError) as refused:
        start(ada)

    assert refused.value.job == job
    start(make_user("otto", "admin"))


def test_what_cannot_be_enforced_is_not_evaluated(ada: User) -> None:
    with pytest.raises(InvalidRulesError):
        start(ada, make_terms(terms=()))

    assert not Evaluation.objects.exists()


def test_what_no_scorer_answers_for_is_counted_as_unchecked(ada: User) -> None:
    nowhere = settings_for("http://127.0.0.1:1/v1")
    with override_settings(SCORERS=nowhere):
        found = finish(start(ada, make_score(), count=3))

    assert (found.rows, found.unchecked) == (3, 3)
    assert found.unchecked_reasons


def test_scorers_that_take_long_hold_nobody_who_cancels(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start(ada, make_score())
    asked = threading.Event()
    never: Future[Any] = Future()

    def begin(_: object) -> "Future[Any]":
        asked.set()
        actions.cancel_evaluation(job.pk, by=ada)
        return never

    monkeypatch.setattr(scored, "begin", begin)
    monkeypatch.setattr(jobs, "SAVE_EVERY_S", 0.0)
    run()

    job.refresh_from_db()
    assert asked.is_set()
    assert never.cancelled()
    assert (job.state, job.done) == ("cancelled", 0)


def test_a_deleted_one_is_gone_and_on_record(ada: User) -> None:
    job = start(ada)

    actions.delete_evaluation(job.pk, by=ada)

    assert not Evaluation.objects.exists()
    assert Entry.objects.filter(action="evaluation_deleted").count() == 1
    run()


def test_one_is_forgotten_with_its_samples_thirty_days_after_its_end(ada: User) -> None:
    job = start(ada)
    finish(job)

    tasks.forget_old()
    assert Evaluation.objects.exists()
    Evaluation.objects.update(finished_at=timezone.now() - jobs.KEPT_FOR)
    tasks.forget_old()

    assert not Evaluation.objects.exists()


def test_beat_wakes_workers_up_for_it() -> None:
    scheduled = {each["task"] for each in settings.CELERY_BEAT_SCHEDULE.values()}

    assert {tasks.run.name, tasks.forget_old.name} <= scheduled
