"""Jobs over many letters: each letter once, counted, resumed, cancelled, and out of the way."""

import threading
from collections import Counter

import pytest
from django.contrib.auth.models import User
from django.db import connection

from controlplane.audit.models import Entry
from controlplane.deadletters import actions, bulk
from controlplane.deadletters.models import Job, JobItem, Letter
from controlplane.deadletters.tasks import run_jobs
from controlplane.runtime.models import OutboxRecord
from tests.deadletters.making import make_letter
from tests.factories import make_admin


def start(letters: list[Letter], verb: str = "redrive", reason: str = "mended") -> Job:
    keys = [letter.pk for letter in letters]
    by = User.objects.get(username="ada")
    return bulk.start_job(keys, verb=Job.Verb(verb), reason=reason, by=by)


def test_a_job_decides_on_each_letter_and_counts_the_ends(ada: User) -> None:
    good = [make_letter() for _ in range(3)]
    gone, odd = make_letter(), make_letter(topic="posts")
    actions.discard(gone.pk, by=ada, reason="noise")
    job = start([*good, gone, odd])

    run_jobs()

    job.refresh_from_db()
    assert job.finished_at
    assert job.count_by_result() == {"done": 3, "already": 1, "refused": 1}
    notes = dict(job.items.exclude(note="").values_list("result", "note"))
    assert notes["already"].startswith("ada has discarded it")
    assert notes["refused"] == "posts is no topic that records are sent to."
    assert OutboxRecord.objects.count() == 3
    assert [letter.decided_why for letter in Letter.objects.filter(state="redriven")]
    assert Entry.objects.filter(action="letter_redriven").count() == 3
    assert Entry.objects.get(action="letters_redrive_started").detail["letters"] == 5


def test_letters_are_discarded_with_the_reason_of_their_job(ada: User) -> None:
    start([make_letter(), make_letter()], "discard", "noise")

    run_jobs()

    assert [(letter.state, letter.decided_why) for letter in Letter.objects.all()] == [
        ("discarded", "noise")
    ] * 2


def test_letters_are_sent_in_the_order_in_which_they_came(ada: User) -> None:
    letters = [make_letter(value=str(number).encode()) for number in range(5)]
    start(letters[::-1])

    run_jobs()

    sent = OutboxRecord.objects.order_by("pk")
    assert [bytes(row.value) for row in sent] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_cancelled_job_leaves_the_rest_alone(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start([make_letter() for _ in range(3)])
    assert bulk._step()

    bulk.cancel_job(job.pk, by=ada)
    bulk.cancel_job(job.pk, by=ada)
    run_jobs()

    assert job.count_by_result() == {"done": 1, "": 2}
    assert Letter.objects.open().count() == 2
    assert Entry.objects.filter(action="letters_job_cancelled").count() == 1


def test_a_job_without_letters_is_none(ada: User) -> None:
    with pytest.raises(bulk.NothingChosenError):
        start([])
    assert not Job.objects.exists()


def test_a_job_waits_until_kafka_has_what_was_decided_before(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MAX_UNPUBLISHED", 2)
    job = start([make_letter() for _ in range(3)])

    run_jobs()
    assert job.count_by_result() == {"done": 2, "": 1}

    OutboxRecord.objects.update(published_at="2026-11-21T00:00Z")
    run_jobs()
    assert job.count_by_result() == {"done": 3}


def test_a_worker_that_stops_leaves_the_rest_to_the_next(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start([make_letter() for _ in range(3)])
    monkeypatch.setattr(bulk, "RUN_S", 0.0)
    run_jobs()
    assert job.count_by_result() == {"": 3}
    monkeypatch.setattr(bulk, "RUN_S", 2.0)

    run_jobs()

    assert job.count_by_result() == {"done": 3}


@pytest.mark.django_db(transaction=True)
def test_a_letter_that_broke_its_worker_is_still_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_admin()
    job = start([make_letter()])

    def die(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(actions, "_log", die)
        with pytest.raises(RuntimeError, match="killed"):
            run_jobs()
    assert not OutboxRecord.objects.exists()
    assert Letter.objects.get().is_open

    run_jobs()
    assert job.count_by_result() == {"done": 1}


@pytest.mark.django_db(transaction=True)
def test_workers_at_the_same_jobs_do_each_letter_once() -> None:
    make_admin()
    letters = [make_letter() for _ in range(40)]
    start(letters)
    start(letters)
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait(10)
        while Job.objects.filter(finished_at=None).exists():
            run_jobs()
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert OutboxRecord.objects.count() == len(letters)
    results = Counter(JobItem.objects.values_list("result", flat=True))
    assert results == {"done": 40, "already": 40}
