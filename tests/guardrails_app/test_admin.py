"""Rules in the admin: edited, published, rolled back; by those who may."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from controlplane.audit.models import Entry
from guardrails import actions, rules
from guardrails.models import Publication, Rule, RuleSet
from tests.factories import make_admin, make_user
from tests.guardrails.factories import make_set, make_terms

pytestmark = pytest.mark.django_db

BRANDS = make_terms(must_hit=("I like Tesla",))
RULES = reverse("admin:guardrails_rule_changelist")
SETS = reverse("admin:guardrails_ruleset_changelist")
FORM = {
    "slug": "brands",
    "name": "Brands",
    "direction": "output",
    "kind": "terms",
    "action": "replace",
    "severity": "medium",
    "mode": "enforce",
    "workflows": "chat",
    "terms": "tesla\r\n\r\n  bmw ",
    "reply": "Ours are nice.",
    "must_hit": "I like Tesla",
}


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(make_admin())
    return client


def say(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def save_rules(*wanted: rules.Rule) -> None:
    editor, _ = User.objects.get_or_create(username="editor")
    actions.save_rules(make_set(*wanted), editor=editor)


def run(client: Client, page: str, action: str, *keys: object) -> Any:
    return client.post(
        page, {"action": action, "_selected_action": [str(key) for key in keys]}
    )


def test_a_rule_is_added_as_its_form_says(ada: Client) -> None:
    answer = ada.post(reverse("admin:guardrails_rule_add"), FORM)

    assert answer.status_code == 302
    rule = Rule.objects.get()
    assert (rule.terms, rule.workflows, rule.version) == (["tesla", "bmw"], ["chat"], 1)
    assert Entry.objects.get().action == "rule_added"


def test_a_rule_is_changed_as_its_next_version(ada: Client) -> None:
    ada.post(reverse("admin:guardrails_rule_add"), FORM)
    page = reverse("admin:guardrails_rule_change", args=[Rule.objects.get().pk])
    assert "tesla\nbmw" in ada.get(page).content.decode()

    ada.post(page, FORM | {"name": "Other makers"})

    rule = Rule.objects.get()
    assert (str(rule), rule.version) == ("Other makers", 2)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("terms", "", "needs at least one term"),
        ("reply", "", "needs the text that the user gets"),
        ("workflows", "", "covers no workflow"),
        ("slug", "a--b", "single dashes"),
        ("action", "block", "Only what comes in can be blocked"),
        ("field", "amount", "Invalid enum value"),
        ("kind", "dance", "not one of the available choices"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_in_a_sentence(
    ada: Client, field: str, value: str, sentence: str
) -> None:
    answer = ada.post(reverse("admin:guardrails_rule_add"), FORM | {field: value})

    assert answer.status_code == 200
    assert sentence in answer.content.decode()
    assert not Rule.objects.exists()


def test_the_draft_is_published_from_the_list(ada: Client) -> None:
    save_rules(BRANDS)
    assert ada.get(RULES).status_code == 200

    answer = run(ada, RULES, "publish_draft", Rule.objects.get().pk)

    assert say(answer) == [f"Rule-set {RuleSet.objects.get()} is in force."]


def test_a_draft_that_fails_its_cases_says_which(ada: Client) -> None:
    save_rules(make_terms(must_hit=("BMW",)))

    answer = run(ada, RULES, "publish_draft", Rule.objects.get().pk)

    assert "“BMW” must hit" in say(answer)[0]
    assert not Publication.objects.exists()


def test_rules_are_deleted_from_the_list_and_from_their_page(ada: Client) -> None:
    save_rules(BRANDS, make_terms(id="other", must_hit=("tesla",)))
    first, second = Rule.objects.order_by("slug")

    ada.post(
        RULES,
        {
            "action": "delete_selected",
            "_selected_action": [str(first.pk)],
            "post": "yes",
        },
    )
    ada.post(reverse("admin:guardrails_rule_delete", args=[second.pk]), {"post": "yes"})

    assert not Rule.objects.exists()
    assert Entry.objects.filter(action="rule_deleted").count() == 2


def test_an_earlier_set_is_put_in_force(ada: Client) -> None:
    save_rules(BRANDS)
    run(ada, RULES, "publish_draft", Rule.objects.get().pk)
    first = RuleSet.objects.get()

    assert say(run(ada, SETS, "put_in_force", first.pk))[-1] == "It is in force."
    assert Publication.objects.count() == 2


def test_only_one_set_can_be_put_in_force(ada: Client) -> None:
    for text in ("tesla", "Tesla"):
        save_rules(make_terms(must_hit=(text,)))
        run(ada, RULES, "publish_draft", Rule.objects.get().pk)

    keys = RuleSet.objects.values_list("pk", flat=True)
    assert say(run(ada, SETS, "put_in_force", *keys))[-1] == "Choose one rule-set."
    assert Publication.objects.count() == 2


@pytest.mark.parametrize("model", ["ruleset", "publication"])
def test_history_is_looked_at_and_never_edited(ada: Client, model: str) -> None:
    save_rules(BRANDS)
    run(ada, RULES, "publish_draft", Rule.objects.get().pk)
    key = (RuleSet if model == "ruleset" else Publication).objects.get().pk

    assert ada.get(reverse(f"admin:guardrails_{model}_changelist")).status_code == 200
    assert ada.get(reverse(f"admin:guardrails_{model}_add")).status_code == 403
    change = reverse(f"admin:guardrails_{model}_change", args=[key])
    assert ada.get(change).status_code == 200
    assert ada.post(change, {"reason": "rewritten"}).status_code == 403
    assert (
        ada.post(reverse(f"admin:guardrails_{model}_delete", args=[key])).status_code
        == 403
    )


@pytest.mark.parametrize("role", ["lead", "auditor"])
def test_who_may_only_look_publishes_nothing(client: Client, role: str) -> None:
    client.force_login(make_user("otto", role, is_staff=True))
    save_rules(BRANDS)
    rule = Rule.objects.get()

    assert client.get(RULES).status_code == 200
    run(client, RULES, "publish_draft", rule.pk)
    change = reverse("admin:guardrails_rule_change", args=[rule.pk])
    assert client.post(change, FORM).status_code == 403
    assert not Publication.objects.exists()


def test_visitors_are_sent_to_sign_in(client: Client) -> None:
    assert client.get(RULES).status_code == 302
