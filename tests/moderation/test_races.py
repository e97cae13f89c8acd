"""Two people press at once: two processes, one barrier, the committed database."""

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from controlplane.audit.models import Entry
from controlplane.runtime.models import OutboxRecord
from moderation import actions
from moderation.models import Approval, Decision
from tests.factories import make_approval, make_moderator
from tests.moderation.race import decide_on_order
from tests.moderation.rows import database_url, form_of

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 100


@contextmanager
def deciders(*moderators: User) -> Iterator[list[Connection]]:
    """Processes that decide as these moderators, starting each round together."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(len(moderators))
    environment = {
        "DJANGO_SETTINGS_MODULE": "controlplane.settings",
        "DATABASE_URL": database_url(),
        "REDIS_URL": os.environ["REDIS_URL"],
    }
    ends = []
    processes = []
    for moderator in moderators:
        ours, theirs = context.Pipe()
        process = context.Process(
            target=decide_on_order, args=(environment, moderator.pk, theirs, start)
        )
        process.start()
        ends.append(ours)
        processes.append(process)
    try:
        assert [end.recv() for end in ends] == ["ready"] * len(ends)
        yield ends
    finally:
        for end, process in zip(ends, processes, strict=True):
            end.send(None)
            process.join(timeout=10)


def test_of_two_who_decide_at_once_one_wins_and_the_other_learns_who() -> None:
    approvals = [make_approval() for _ in range(ROUNDS)]
    winners: Counter[str] = Counter()

    with deciders(make_moderator(), make_moderator("jonas")) as ends:
        for made in approvals:
            approval = Approval.objects.with_conversation().get(pk=made.pk)
            for end in ends:
                end.send((approval.pk, approval.fingerprint))
            outcomes = [end.recv() for end in ends]

            decision = Decision.objects.get(approval=approval)
            winner = decision.decided_by.get_username()
            assert sorted(outcomes) == [("lost", winner), ("won", winner)]
            winners[winner] += 1

    assert Decision.objects.count() == OutboxRecord.objects.count() == ROUNDS
    assert Entry.objects.filter(action="reply_approved").count() == ROUNDS
    assert len(winners) == 2, f"the processes did not race: {winners}"


def test_the_page_of_the_loser_keeps_what_was_typed_each_time(client: Client) -> None:
    mira, jonas = make_moderator(), make_moderator("jonas")
    client.force_login(mira)

    for number in range(20):
        made = make_approval()
        form = form_of(made, verdict="edit", text=f"My text {number}")
        actions.decide(
            made.pk,
            verdict=Decision.Verdict.APPROVE,
            text="",
            reason="",
            fingerprint=form["fingerprint"],
            moderator=jonas,
        )
        response = client.post(reverse("moderation:item", args=[made.pk]), form)

        assert response.status_code == 409
        html = response.content.decode()
        assert "jonas approved this at" in html
        assert f"My text {number}</textarea>" in html
