"""Automatic stops on the pages: how close each rule is, what it engaged, and who may change it."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from controlplane.audit.models import Entry
from controlplane.home.metrics import exposition
from controlplane.runtime.models import ControlVersion
from controlplane.stops import actions
from controlplane.stops.models import Stop, StopRule
from tests.factories import make_admin, make_user, sign_in_now
from tests.stops.rules import make_rule
from tests.stops.test_pages import FRAGMENT, INDEX, text

pytestmark = pytest.mark.django_db(transaction=True)

RULE = reverse("stops:rule", args=["flagged-replies"])


@pytest.fixture
def ada(client: Client) -> User:
    user = make_admin()
    sign_in_now(client, user)
    return user


@pytest.fixture(autouse=True)
def _no_other_rules(transactional_db: None) -> None:
    """Those that migrations make."""
    StopRule.objects.all().delete()


def measured(**fields: Any) -> StopRule:
    """7 of 50 were flagged, just now."""
    defaults: dict[str, Any] = {
        "count": 7,
        "items": 50,
        "measured_at": timezone.now(),
    }
    return make_rule(**(defaults | fields))


def form(**fields: str) -> dict[str, str]:
    defaults = {
        "is_on": "on",
        "target": "tier:pro",
        "threshold": "12.5",
        "window": "100",
        "minimum": "40",
        "reason": "too many were right",
    }
    return defaults | fields


def test_each_rule_is_shown_with_how_close_it_is_to_tripping(
    client: Client, ada: User
) -> None:
    measured()

    listed, page = text(client.get(INDEX)), text(client.get(RULE))

    for shown in (listed, page):
        assert "More than 20 % of the last 50 replies flagged" in shown
        assert "7 of the last 50 replies (14 %) flagged" in shown
        assert 'value="70"' in shown
        assert "70 % of the threshold" in shown
        assert '<span class="tag go">watching</span>' in shown
    assert f'href="{RULE}"' in listed
    assert "It has never tripped." in page


@pytest.mark.parametrize(
    ("fields", "word", "says"),
    [
        ({"count": 9}, "near", "90 % of the threshold"),
        ({"count": 20, "items": 40}, "over, not tripping yet", "too few to trip"),
        ({"items": 0, "count": 0}, "watching", "no replies yet"),
        ({"is_on": False}, "off", "70 % of the threshold"),
        ({"unknown": "Kafka says: no"}, "unknown", "Kafka says: no"),
        ({"measured_at": None}, "unknown", "no worker runs the tripwire"),
        (
            {"measured_at": timezone.now() - timedelta(minutes=1)},
            "unknown",
            "no worker runs the tripwire",
        ),
    ],
)
def test_its_state_has_a_word(
    client: Client, ada: User, fields: dict[str, Any], word: str, says: str
) -> None:
    measured(**fields)

    page = text(client.get(INDEX, headers=FRAGMENT))

    assert f">{word}</span>" in page
    assert says in page
    assert ("<meter" in page) == ("threshold" in says or "few" in says)


def test_the_stop_of_a_rule_says_so_wherever_it_is_shown(
    client: Client, ada: User
) -> None:
    rule = measured(count=11)
    said = {"scope": "everything", "reason": "flagged_share: 11 of the last 50"}
    stop = actions.request_stop(mode="soft", requester=rule.actor, **said)
    own = reverse("stops:stop", args=[stop.pk])

    listed, page, its = (text(client.get(url)) for url in (INDEX, RULE, own))

    for shown in (listed, page):
        assert '<span class="tag soft">tripped</span>' in shown
        assert own in shown
    assert "flagged_share: 11 of the last 50" in page
    assert "UTC by the rule flagged-replies" in its
    assert "the rule flagged-replies, <time" in listed
    room = text(client.get(reverse("home:index")))
    assert "the rule flagged-replies stopped everything" in room
    actions.release_stop(stop, reason="over", releaser=ada)
    assert "the rule flagged-replies: flagged_share" in text(client.get(INDEX))


def test_a_stop_of_its_scope_by_a_person_is_said_to_be_there(
    client: Client, ada: User
) -> None:
    measured(scope="tier", value="pro")
    actions.request_stop(mode="hard", scope="everything", reason="x", requester=ada)

    page = text(client.get(RULE))

    assert '<span class="tag soft">stopped already</span>' in page
    assert "a soft stop on the tier pro" in page


def test_an_administrator_changes_a_rule_with_a_reason_and_it_counts_anew(
    client: Client, ada: User
) -> None:
    before = measured(count=11)
    version = ControlVersion.objects.get().version

    response = client.post(RULE, form())

    assert response["Location"] == RULE
    rule = StopRule.objects.get()
    assert (rule.scope, rule.value, rule.threshold) == ("tier", "pro", 12.5)
    assert (rule.window, rule.minimum, rule.is_on) == (100, 40, True)
    assert rule.changed_at > before.changed_at
    assert (rule.count, rule.items, rule.measured_at) == (0, 0, None)
    entry = Entry.objects.get(action="stop_rule_changed")
    assert (entry.actor, entry.subject) == ("ada", "stop-rule:flagged-replies")
    assert entry.detail == {
        "version": str(version + 1),
        "reason": "too many were right",
        "scope": "everything → tier",
        "value": " → pro",
        "threshold": "20.0 → 12.5",
        "window": "50 → 100",
        "minimum": "50 → 40",
    }
    assert RULE in text(client.get(reverse("home:index")))


def test_one_that_has_no_minimum_is_switched_off(client: Client, ada: User) -> None:
    rule = make_rule("lag", metric="lag_records", window=60, minimum=1)
    address = reverse("stops:rule", args=[rule.name])
    page = text(client.get(address))
    assert "Trips above (records)" in page
    assert "Trips from so many on" not in page
    wanted = form(target="everything", threshold="20", window="60") | {"is_on": ""}

    client.post(address, wanted)

    rule.refresh_from_db()
    assert (rule.is_on, rule.minimum) == (False, 1)


@pytest.mark.parametrize(
    ("metric", "fields", "says"),
    [
        ("flagged_share", {"reason": " "}, "Say why it is to change."),
        ("flagged_share", {"threshold": "0"}, "It must be above 0."),
        ("flagged_share", {"threshold": "100"}, "No share is above 100 %"),
        ("flagged_share", {"threshold": "nan"}, "Enter a number."),
        ("flagged_share", {"window": "1001"}, "It may be up to 1,000."),
        ("lag_records", {"window": "86401"}, "It may be up to 86,400."),
        ("flagged_share", {"minimum": "101"}, "It cannot be more than the window"),
        ("flagged_share", {"target": "conversation"}, "Select a valid choice"),
        (
            "dead_letters_per_minute",
            {},
            "Dead letters cannot be told apart by tier; a rule on them may be for: ",
        ),
        (
            "flagged_share",
            {"target": "everything", "threshold": "20", "window": "50"}
            | {"minimum": "50"},
            "Nothing is changed: the rule is so already.",
        ),
    ],
)
def test_what_a_rule_cannot_be_is_said_and_nothing_is_changed(
    client: Client, ada: User, metric: str, fields: dict[str, str], says: str
) -> None:
    rule = make_rule(metric=metric)

    response = client.post(RULE, form(**fields))

    assert response.status_code == 422
    assert says in text(response)
    assert StopRule.objects.get().changed_at == rule.changed_at


def test_a_moderator_sees_a_rule_and_may_not_change_it(client: Client) -> None:
    measured()
    sign_in_now(client, make_user("mira", "moderator"))

    page, refused = client.get(RULE), client.post(RULE, form())

    assert "70 % of the threshold" in text(page)
    assert '<form class="stack"' not in text(page)
    assert refused.status_code == 403
    assert Entry.objects.get(action="access_refused").detail["path"] == RULE
    assert StopRule.objects.get().threshold == 20


def test_changing_a_rule_asks_again_who_it_is(client: Client) -> None:
    measured()
    client.force_login(make_admin())

    response = client.post(RULE, form())

    assert response["Location"].startswith(reverse("account_reauthenticate"))
    assert StopRule.objects.get().threshold == 20


def test_a_rule_that_is_not_there_is_not_found(client: Client, ada: User) -> None:
    assert client.get(reverse("stops:rule", args=["nothing"])).status_code == 404
    assert "there is no rule" in text(client.get(INDEX))


def test_its_part_that_lives_is_asked_for_alone(client: Client, ada: User) -> None:
    measured()

    page = text(client.get(RULE, headers=FRAGMENT))

    assert page.startswith('<div id="rule-now"')
    assert "Why the change?" not in page


def test_rules_cost_the_page_two_queries(
    client: Client, ada: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.get(INDEX, headers=FRAGMENT)
    for name in ("a", "b", "c"):
        measured(name=name)
    with django_assert_num_queries(8):
        client.get(INDEX, headers=FRAGMENT)


def test_metrics_tell_how_close_each_is_and_nothing_of_what_is_unknown() -> None:
    measured(count=8)
    measured(name="lag", metric="lag_records", unknown="Kafka says: no")

    said = exposition().decode()

    assert 'interlock_stop_rule_closeness{rule="flagged-replies"} 0.8' in said
    assert 'rule="lag"' not in said


@pytest.mark.parametrize(
    ("requested_by", "says"),
    [("rule:lag", "the rule lag"), ("ada", "ada"), ("shell:root", "shell:root")],
)
def test_who_stopped_it_is_said_as_one_says_it(requested_by: str, says: str) -> None:
    assert Stop(requested_by=requested_by).requester == says
