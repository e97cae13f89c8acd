"""What a stop means is said for each answer that waits; what was held stays held."""

import html
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from controlplane.chat.models import Outcome
from controlplane.stops import actions
from controlplane.stops.models import Stop
from moderation import watch
from moderation.models import Approval
from moderation.stopped import meanings
from tests.factories import make_admin, make_approval, make_conversation, make_turn

pytestmark = pytest.mark.django_db(transaction=True)

QUEUE = reverse("moderation:queue")


@pytest.fixture
def ada() -> User:
    return make_admin()


def stop(ada: User, mode: str, scope: str = "everything", value: str = "") -> Stop:
    return actions.request_stop(
        mode=mode, scope=scope, value=value, reason="x", requester=ada
    )


def release(ada: User, made: Stop) -> None:
    actions.release_stop(made, reason="over", releaser=ada)


def held(source: str = "output-guard", **fields: Any) -> Approval:
    approval = make_approval(**fields)
    Outcome.objects.filter(turn=approval.turn).update(source=source)
    return Approval.objects.with_conversation().get(pk=approval.pk)


def said(approval: Approval) -> list[str]:
    return [
        f"{each.state} {each.word}: {each.sentence}"
        for each in meanings([approval]).get(approval.pk, [])
    ]


@pytest.mark.parametrize(
    ("scope", "value", "covers"),
    [
        ("everything", "", True),
        ("tier", "free", True),
        ("tier", "pro", False),
        ("workflow", "chat", True),
        ("workflow", "leads", False),
        ("conversation", "c_1", True),
        ("conversation", "c_2", False),
        ("agent", "responder", True),  # upstream of the agent that wrote it
        ("agent", "input-guard", True),
        ("agent", "nobody", False),
    ],
)
def test_a_hard_stop_says_so_of_what_the_gate_would_keep_for_it(
    ada: User, *, scope: str, value: str, covers: bool
) -> None:
    approval = held(turn=make_turn(make_conversation(id="c_1", tier="free")))
    stop(ada, "hard", scope, value)

    what = f"{scope} {value}".strip()
    expected = f"stop Hard stop: Hard stop on {what}: goes out only by your decision."
    assert said(approval) == ([expected] if covers else [])


def test_what_a_stop_holds_names_it_and_stays_held_after_its_release(
    ada: User, mira_client: Client
) -> None:
    before, held_before = stop(ada, "hard", "tier", "free"), "Hard stop on tier free"
    release(ada, before)
    made = stop(ada, "hard", "tier", "free")
    approval = held(why=held_before)
    at = f"{made.requested_at:%H:%M} UTC"
    page = reverse("moderation:item", args=[approval.pk])

    assert said(approval) == [
        f"stop Hard stop: Held by the hard stop on tier free of {at}: goes out only by your decision."
    ]
    marked = watch.read_marks([])
    release(ada, made)

    words = f"Held by the hard stop of {at}, released since; still waits for you."
    assert said(approval) == [f"plain Held by a stop: {words}"]
    assert watch.read_marks([]) != marked  # open pages are woken
    for address in (QUEUE, page):
        text = html.unescape(mira_client.get(address).content.decode())
        assert words in text
    approval.refresh_from_db()
    assert approval.is_pending
    assert Outcome.objects.get(turn=approval.turn).state == "held"
    again = stop(ada, "hard")
    assert said(approval) == [
        "stop Hard stop: Hard stop on everything: goes out only by your decision.",
        f"plain Held by a stop: {words}",
    ]
    release(ada, again)


def test_a_soft_stop_says_that_deciding_works_as_always(ada: User) -> None:
    approval = held()
    made = stop(ada, "soft", "agent", "responder")

    assert said(approval) == [
        "soft Soft stop: Soft stop on agent responder: agents are paused; deciding works as always."
    ]
    release(ada, made)
    assert said(approval) == []


def test_what_is_decided_is_no_matter_of_a_stop_any_more(ada: User) -> None:
    approval = held(state="approved")
    stop(ada, "hard")

    assert said(approval) == []


def test_ten_answers_cost_as_much_as_one(
    ada: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for scope in ({}, {"scope": "tier", "value": "free"}):
        stop(ada, "hard", **scope)
    for count in (1, 10):
        while Approval.objects.count() < count:
            held(why="Hard stop on everything")
        approvals = list(Approval.objects.with_conversation())
        with django_assert_num_queries(4):
            found = meanings(approvals)
        assert {len(each) for each in found.values()} == {2}
