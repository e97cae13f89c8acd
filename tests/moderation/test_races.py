"""Two people press at once: two processes, one barrier, the committed database."""

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from controlplane.audit.models import Entry
from controlplane.runtime.models import OutboxRecord
from moderation.models import Decision
from tests.factories import make_approval, make_moderator
from tests.moderation.race import post_on_order
from tests.moderation.rows import database_url, form_of, publish_rules

pytestmark = pytest.mark.django_db(transaction=True)


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
            target=post_on_order, args=(environment, moderator.pk, theirs, start)
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


@pytest.mark.parametrize("rounds", [6, pytest.param(100, marks=pytest.mark.long)])
def test_of_two_who_decide_at_once_one_wins_and_the_other_keeps_his_text(
    rounds: int,
) -> None:
    publish_rules()
    approvals = [make_approval() for _ in range(rounds)]
    names = ("mira", "jonas")
    winners: Counter[str] = Counter()

    with deciders(*(make_moderator(name) for name in names)) as ends:
        for number, made in enumerate(approvals):
            path = reverse("moderation:item", args=[made.pk])
            typed = {name: f"{name} offers number {number}." for name in names}
            for end, name in zip(ends, names, strict=True):
                end.send((path, form_of(made, verdict="edit", text=typed[name])))
            answers = dict(zip(names, [end.recv() for end in ends], strict=True))

            decision = Decision.objects.get(approval=made)
            winner = decision.decided_by.get_username()
            [loser] = [name for name in names if name != winner]
            assert decision.text == typed[winner]
            assert answers[winner][0] in {200, 302}
            status, page = answers[loser]
            assert status == 409
            assert f"{winner} edited and approved this at" in page
            assert f"{typed[loser]}</textarea>" in page
            winners[winner] += 1

    assert Decision.objects.count() == OutboxRecord.objects.count() == rounds
    assert Entry.objects.filter(action="reply_edited").count() == rounds
    assert len(winners) == 2, f"the processes did not race: {winners}"
