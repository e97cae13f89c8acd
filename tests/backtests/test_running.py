"""A backtest is worked on bit by bit, cancelled at once, and goes on where a dead worker had been."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import msgspec
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F
from django.test import override_settings
from django.utils import timezone
from structlog.testing import capture_logs

from agents import topics
from controlplane import jobs
from controlplane.audit.models import Entry
from controlplane.backtests import actions, recorded, running, tasks
from controlplane.backtests.actions import (
    BacktestError,
    BusyError,
    NothingRecordedError,
)
from controlplane.backtests.models import Backtest
from controlplane.backtests.tasks import run
from controlplane.jobs import LOST_AFTER
from controlplane.traces.models import TraceRecord
from guardrails import actions as guardrails
from guardrails import scored
from guardrails.actions import InvalidRulesError
from guardrails.backtest import Comparison, Origin, Tally
from guardrails.models import RuleSet
from guardrails.rules import Rule
from tests.agents.scorers.endpoint import settings_for
from tests.backtests.making import answer, lose_sample, question, write, write_answers
from tests.factories import make_admin
from tests.guardrails.factories import make_pii, make_score, make_set, make_terms
from tests.rulebook.making import BRANDS, publish

pytestmark = pytest.mark.django_db

WIDER = make_terms(terms=("tesla", "bmw"))
TEXTS = ["A Tesla", "A BMW", "Hello"] * 30


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wake-up judges one batch."""
    monkeypatch.setattr(jobs, "RUN_S", 0.0)


def start(by: User, *rules: Rule, size: int = 1_000) -> Backtest:
    return actions.start_backtest(make_set(*(rules or (WIDER,))), size=size, by=by)


def claim() -> Backtest | None:
    return jobs.claim(Backtest.objects.all())


def finish(job: Backtest) -> Comparison:
    while job.is_unfinished:
        before = job.done
        run()
        job.refresh_from_db()
        assert job.done > before or not job.is_unfinished
    return found_by(job)


def found_by(job: Backtest) -> Comparison:
    return msgspec.convert(job.result, Comparison)


def test_a_draft_is_held_against_what_is_in_force(ada: User) -> None:
    publish(BRANDS)
    write_answers(TEXTS)
    job = start(ada)

    found = finish(job)

    assert (job.state, job.done, job.total, job.lease) == ("done", 90, 90, None)
    assert job.finished_at
    assert found.texts == 90
    assert found.rules["brands"].whole == Tally(live=30, draft=60, new=30)
    assert found.span_s == 89 * 60


def test_what_it_keeps_has_no_text_in_it(ada: User) -> None:
    write_answers(["My iban and a Tesla"])
    job = start(ada)

    finish(job)

    assert found_by(job).samples
    assert "iban" not in str(job.result)


def test_personal_data_is_found_that_the_index_has_not(ada: User) -> None:
    write(question("My card is 4111 1111 1111 1111"))
    job = start(ada, make_pii("card"))

    found = finish(job)

    assert not TraceRecord.objects.filter(text__contains="4111").exists()
    assert found.rules["personal"].whole.new == 1
    assert found.moves == {"allow": {"redact": 1}}


def test_without_rules_in_force_all_is_new(ada: User) -> None:
    write(question("A Tesla"), answer("A Tesla"))
    job = start(ada)

    assert finish(job).rules["brands"].whole.new == 1
    assert job.in_force is None


def test_only_the_latest_are_read_and_none_that_came_later(ada: User) -> None:
    write_answers(["A Tesla"] * 5)
    job = start(ada, size=3)
    write(answer("A Tesla", minute=99))

    found = finish(job)

    assert job.total == found.texts == 3
    assert found.since is not None
    assert found.since.minute == 2


@pytest.mark.usefixtures("slowly")
def test_bit_by_bit_it_finds_the_same(ada: User) -> None:
    publish(BRANDS)
    write_answers(TEXTS)
    job = start(ada)
    run()
    job.refresh_from_db()
    assert (job.state, job.lease) == ("running", None)
    assert 0 < job.done < job.total

    found = finish(job)

    assert found.texts == 90
    assert found.rules["brands"].whole == Tally(live=30, draft=60, new=30)


@pytest.mark.usefixtures("slowly")
def test_a_cancelled_one_ends_where_it_is(ada: User) -> None:
    write_answers(TEXTS)
    job = start(ada)
    run()

    actions.cancel_backtest(job.pk, by=ada)
    actions.cancel_backtest(job.pk, by=ada)
    run()

    job.refresh_from_db()
    assert job.state == "cancelled"
    assert job.done == found_by(job).texts == jobs.SCORED_BATCH
    assert Entry.objects.filter(action="backtest_cancelled").count() == 1


def test_a_worker_that_is_at_it_hears_of_the_end(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it writes next is refused, and it judges nothing more."""
    write_answers(TEXTS)
    job = start(ada)
    read = recorded.read
    monkeypatch.setattr(jobs, "SAVE_EVERY_S", 0.0)
    batches = []

    def read_and_cancel(before: Origin, *, at_most: int) -> recorded.Batch:
        batches.append(before)
        actions.cancel_backtest(job.pk, by=ada)
        return read(before, at_most=at_most)

    monkeypatch.setattr(recorded, "read", read_and_cancel)
    run()

    job.refresh_from_db()
    assert (job.state, job.done, job.result) == ("cancelled", 0, None)
    assert len(batches) == 1


@pytest.mark.usefixtures("slowly")
def test_from_a_lost_worker_another_takes_over(ada: User) -> None:
    write_answers(TEXTS)
    job = start(ada)
    run()
    lost = claim()
    assert lost is not None
    run()  # nothing: somebody is at it
    Backtest.objects.update(beat_at=F("beat_at") - LOST_AFTER)

    with capture_logs() as logs:
        run()

    with pytest.raises(jobs.EndedError):
        jobs.Turn(Backtest.objects.all(), lost)._say()
    assert [event["event"] for event in logs] == ["job_taken_over"]
    job.refresh_from_db()
    assert job.done == found_by(job).texts == 2 * jobs.SCORED_BATCH
    assert finish(job).texts == 90


def test_one_that_costs_three_workers_fails_and_can_be_begun_again(ada: User) -> None:
    write_answers(TEXTS)
    job = start(ada)
    for _ in range(jobs.MAX_LOSSES):
        assert claim() is not None
        Backtest.objects.update(beat_at=F("beat_at") - LOST_AFTER)

    assert claim() is None

    job.refresh_from_db()
    assert (job.state, job.reason) == ("failed", jobs.LOST)
    again = actions.start_again(job, by=ada)
    assert (again.draft_hash, again.size) == (job.draft_hash, job.size)
    assert finish(again).texts == 90


def test_a_set_that_this_version_cannot_read_fails_it(ada: User) -> None:
    unreadable = RuleSet.objects.create(hash="0" * 64, body=b'{"rules": 1}')
    guardrails.put_in_force(unreadable, reason="of a later version", publisher=ada)
    write_answers(["A Tesla"])
    job = start(ada)

    run()

    job.refresh_from_db()
    assert (job.state, job.reason) == ("failed", running.UNREADABLE)


def test_a_person_has_one_at_a_time_and_others_wait_behind_it(ada: User) -> None:
    write_answers(["A Tesla"])
    first = start(ada)
    with pytest.raises(BusyError) as busy:
        start(ada)
    second = start(make_admin("bob"))

    run()
    first.refresh_from_db()
    second.refresh_from_db()

    assert busy.value.job == first
    assert (first.state, second.state) == ("done", "queued")
    assert finish(second).texts == 1


@pytest.mark.usefixtures("slowly")
def test_while_somebody_is_at_the_first_nobody_begins_the_second(ada: User) -> None:
    write_answers(TEXTS)
    first = start(ada)
    second = start(make_admin("bob"))
    assert claim() is not None

    run()

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.done, second.state) == (0, "queued")


def test_one_is_forgotten_thirty_days_after_its_end(ada: User) -> None:
    write_answers(["A Tesla"])
    done, waiting = start(ada), start(make_admin("bob"))
    finish(done)
    long_ago = timezone.now() - jobs.KEPT_FOR
    Backtest.objects.update(requested_at=long_ago)

    tasks.forget_old()
    assert Backtest.objects.count() == 2
    Backtest.objects.filter(pk=done.pk).update(finished_at=long_ago)
    tasks.forget_old()

    assert list(Backtest.objects.all()) == [waiting]


def test_beat_wakes_workers_up_for_it() -> None:
    scheduled = {each["task"] for each in settings.CELERY_BEAT_SCHEDULE.values()}

    assert {tasks.run.name, tasks.forget_old.name} <= scheduled


def test_starting_is_on_record_with_what_is_read(ada: User) -> None:
    published = publish(BRANDS)
    write_answers(["A Tesla", "Hello"])
    job = start(ada)

    entry = Entry.objects.get(action="backtest_started")

    assert (entry.actor, entry.subject) == ("ada", f"backtest:{job.pk}")
    assert entry.detail == {
        "draft": job.draft_hash,
        "in_force": published.rule_set_id,
        "records": 2,
        "reads": "texts as they were written",
    }


def test_what_cannot_be_started_leaves_nothing_behind(ada: User) -> None:
    with pytest.raises(NothingRecordedError):
        start(ada)
    write_answers(["A Tesla"])
    with pytest.raises(InvalidRulesError, match="at least one term"):
        start(ada, make_terms(terms=()))

    assert not Backtest.objects.exists()
    assert not Entry.objects.filter(action="backtest_started").exists()


def test_samples_are_read_from_the_records_and_that_is_on_record(ada: User) -> None:
    write(answer("A Tesla", minute=1), answer("The Tesla", minute=2))
    job = start(ada)
    finish(job)
    lose_sample(job, 0)

    read = actions.read_samples(job, page=0, by=ada)

    assert [each.text for each in read] == [None, "A Tesla"]
    entry = Entry.objects.get(action="backtest_samples_read")
    [record] = entry.detail["records"]
    assert record.startswith(topics.RESPONSES_FINAL)
    assert actions.read_samples(job, page=5, by=ada) == []
    assert Entry.objects.filter(action="backtest_samples_read").count() == 1


@pytest.fixture
def no_scorer() -> Iterator[None]:
    with override_settings(SCORERS=settings_for("http://127.0.0.1:1/v1")):
        yield
    scored._scorers.cache_clear()


@pytest.mark.usefixtures("no_scorer")
def test_while_the_scorer_is_away_texts_count_as_held(ada: User) -> None:
    write_answers(["Hello"] * 3)
    job = start(ada, make_score())

    found = finish(job)

    assert (found.live_unchecked, found.draft_unchecked) == (0, 3)
    assert found.teams["general"].draft == 3
    assert found.errors


def test_signs_of_life_are_given_while_scorers_are_waited_for(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when it is cancelled meanwhile, they are asked no further."""
    write_answers(["Hello"])
    job = start(ada, make_score())
    stuck: Future[list[object]] = Future()
    monkeypatch.setattr(scored, "begin", lambda _: stuck)
    monkeypatch.setattr(jobs, "SAVE_EVERY_S", 0.001)
    beats = []

    def say(self: jobs.Turn, **changed: object) -> None:
        beats.append(changed)
        if len(beats) == 3:
            actions.cancel_backtest(job.pk, by=ada)
        real(self, **changed)

    real = jobs.Turn._say
    monkeypatch.setattr(jobs.Turn, "_say", say)
    run()

    assert beats == [{}] * 3
    assert stuck.cancelled()
    job.refresh_from_db()
    assert job.state == "cancelled"


@pytest.mark.django_db(transaction=True)
def test_of_two_workers_one_is_at_it(ada: User) -> None:
    write_answers(["Hello"])
    start(ada)
    begun, claimed = threading.Barrier(2), []

    def claim_one() -> None:
        begun.wait()
        claimed.append(claim())
        connection.close()

    workers = [threading.Thread(target=claim_one) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert sum(job is not None for job in claimed) == 1


def test_one_that_is_asked_for_twice_at_the_same_moment_is_started_once(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second has not seen the first one's row; the database has."""
    write_answers(["A Tesla"])
    job = start(ada)
    seen = iter([None, job])
    monkeypatch.setattr(actions, "_unfinished_of", lambda _: next(seen))

    with pytest.raises(BusyError) as busy:
        start(ada)

    assert busy.value.job == job
    assert Backtest.objects.count() == 1
    assert Entry.objects.filter(action="backtest_started").count() == 1


def test_a_draft_of_another_version_is_not_begun_again(ada: User) -> None:
    write_answers(["A Tesla"])
    job = start(ada)
    finish(job)
    job.draft_body = b'{"rules": 1}'

    with pytest.raises(BacktestError, match="cannot be read"):
        actions.start_again(job, by=ada)
