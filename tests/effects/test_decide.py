"""What people decide about mails: once each, with a reason, in the log."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from controlplane.audit.models import Entry
from controlplane.effects import actions
from controlplane.effects.models import Effect
from controlplane.effects.states import Verb
from tests.effects.making import make_effect, states
from tests.factories import make_moderator

pytestmark = pytest.mark.django_db


@pytest.fixture
def mira() -> User:
    return make_moderator()


@pytest.mark.parametrize(
    ("was", "verb", "becomes"),
    [
        ("held", "send", "waiting"),
        ("held", "drop", "dropped"),
        ("unknown", "send", "waiting"),
        ("unknown", "sent", "sent"),
        ("unknown", "drop", "dropped"),
        ("failed", "send", "waiting"),
        ("waiting", "drop", "dropped"),
    ],
)
def test_a_decision_moves_it_and_is_on_record(
    mira: User, was: str, verb: Verb, becomes: str
) -> None:
    effect = make_effect("a", state=was, error="x")

    decided = actions.decide_effects([effect.pk], verb=verb, reason="so", by=mira)

    assert ([each.pk for each in decided.done], decided.left) == ([effect.pk], [])
    effect.refresh_from_db()
    assert (effect.state, effect.error, effect.decided_by) == (becomes, "", mira)
    entry = Entry.objects.get(action="mail_decided")
    assert (entry.actor, entry.subject, entry.trace_id) == (
        "mira",
        f"effect:{effect.pk}",
        effect.trace_id,
    )
    assert entry.detail == {
        "verb": verb,
        "was": was,
        "reason": "so",
        "record": effect.record_id,
    }


def test_the_second_of_two_finds_what_the_first_did_and_the_rest_is_decided(
    mira: User,
) -> None:
    first, second = make_effect("a", state="held"), make_effect("b", state="held")
    actions.decide_effects([first.pk], verb="drop", reason="spam", by=mira)

    decided = actions.decide_effects(
        [second.pk, first.pk], verb="send", reason="fine", by=mira
    )

    assert [each.pk for each in decided.done] == [second.pk]
    assert [(each.effect.pk, each.why) for each in decided.left] == [
        (first.pk, "It is dropped by mira.")
    ]
    assert states() == {"a": "dropped", "b": "waiting"}


def test_an_unknown_mail_is_not_sent_again_while_its_sender_may_still_report(
    mira: User,
) -> None:
    until = timezone.now() + timedelta(minutes=1)
    effect = make_effect("a", state="unknown", lease_until=until)

    [left] = actions.decide_effects([effect.pk], verb="send", reason="x", by=mira).left

    assert left.why == f"Its sender may still finish until {until:%H:%M:%S} UTC."
    assert actions.decide_effects([effect.pk], verb="sent", reason="x", by=mira).done
    assert Effect.objects.get().lease_until is None
