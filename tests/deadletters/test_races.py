"""Two people press at once: two processes, one barrier, one record in the outbox."""

from collections import Counter

import pytest
from django.urls import reverse

from controlplane.audit.models import Entry
from controlplane.chat.models import Outcome
from controlplane.deadletters.models import Letter
from controlplane.runtime.models import OutboxRecord
from tests.deadletters.making import failed_turn, letter_of
from tests.factories import make_admin
from tests.moderation.test_races import deciders

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("rounds", [6, pytest.param(40, marks=pytest.mark.long)])
def test_of_two_who_redrive_at_once_one_wins_and_the_other_is_told_who(
    rounds: int,
) -> None:
    letters = [letter_of(failed_turn()) for _ in range(rounds)]
    names = ("ada", "bo")
    winners: Counter[str] = Counter()

    with deciders(*(make_admin(name) for name in names)) as ends:
        for made in letters:
            path = reverse("deadletters:letter", args=[made.pk])
            for end in ends:
                end.send((path, {"verb": "redrive"}))
            answers = dict(zip(names, [end.recv() for end in ends], strict=True))

            made.refresh_from_db()
            assert made.decided_by is not None
            winner = made.decided_by.get_username()
            [loser] = [name for name in names if name != winner]
            assert answers[winner][0] == 302
            status, page = answers[loser]
            assert status == 409
            assert f"{winner} has redriven it at" in page
            winners[winner] += 1

    assert not Letter.objects.open().exists()
    assert OutboxRecord.objects.count() == rounds
    assert Entry.objects.filter(action="letter_redriven").count() == rounds
    assert Entry.objects.filter(action="turn_reopened").count() == rounds
    assert Outcome.objects.filter(state="open").count() == rounds
    assert len(winners) == 2, f"the processes did not race: {winners}"
