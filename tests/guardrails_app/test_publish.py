"""Publishing: an immutable set of rules with a hash, or sentences that say why not."""

import hashlib
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, connection, transaction

from controlplane.audit.models import Entry
from controlplane.runtime.models import ControlVersion, OutboxRecord
from guardrails import actions, rules
from guardrails.models import Publication, Rule, RuleSet
from tests.factories import make_admin
from tests.guardrails.factories import make_set, make_terms, make_threshold

pytestmark = pytest.mark.django_db

BRANDS = make_terms(must_hit=("I like Tesla",), must_pass=("I like the E-Class",))


@pytest.fixture
def admin() -> User:
    return make_admin()


def publish(admin: User, *wanted: rules.Rule) -> Publication:
    actions.save_rules(make_set(*wanted), editor=admin)
    return actions.publish(reason="new rules", publisher=admin)


def test_what_is_published_is_the_draft_with_its_hash(admin: User) -> None:
    publication = publish(admin, BRANDS)

    body = bytes(RuleSet.objects.get().body)
    assert publication.rule_set_id == hashlib.sha256(body).hexdigest()
    assert rules.decode_rule_set(body) == make_set(BRANDS) == actions.draft()
    assert str(publication).startswith(publication.rule_set_id[:12])


def test_a_publication_moves_the_version_and_is_on_record(admin: User) -> None:
    before = ControlVersion.objects.get().version

    publication = publish(admin, BRANDS)

    assert ControlVersion.objects.get().version == before + 1
    entry = Entry.objects.get(action="rules_published")
    assert (entry.actor, entry.detail["ruleset_hash"]) == (
        "ada",
        publication.rule_set_id,
    )
    assert OutboxRecord.objects.get().topic == "controlplane.config"


def test_the_same_rules_again_are_the_same_set(admin: User) -> None:
    first, second = publish(admin, BRANDS), publish(admin, BRANDS)

    assert first.rule_set_id == second.rule_set_id
    assert (RuleSet.objects.count(), Publication.objects.count()) == (1, 2)


def test_an_earlier_set_can_be_put_in_force_again(admin: User) -> None:
    first = publish(admin, BRANDS)
    publish(admin, make_terms(must_hit=("tesla", "Tesla!")))

    actions.put_in_force(first.rule_set, reason="rollback", publisher=admin)

    latest = Publication.objects.order_by("-pk")[0]
    assert latest.rule_set_id == first.rule_set_id


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (make_terms(terms=()), "Brands: A rule of terms needs at least one term."),
        (
            make_terms(must_hit=("BMW",)),
            "brands: “BMW” must hit, but alone it came out as allow: nothing hit.",
        ),
        (
            make_terms(must_pass=("Tesla",)),
            "brands: “Tesla” must pass, but alone it came out as replace: brands at “Tesla”.",
        ),
        (make_terms(), "brands has no case that was evaluated."),
        (make_threshold(field="amount", must_hit=("10 % off",)), "amount"),
        (make_threshold(limit=float("inf"), must_hit=("10 % off",)), "needs a limit"),
    ],
    ids=["invalid", "must hit", "must pass", "no case", "unknown field", "no limit"],
)
def test_a_draft_that_cannot_be_in_force_is_refused_in_sentences(
    admin: User, rule: Any, sentence: str
) -> None:
    with pytest.raises(actions.InvalidRulesError) as refusal:
        publish(admin, rule)

    assert any(sentence in problem for problem in refusal.value.problems)
    assert not RuleSet.objects.exists()
    assert not Entry.objects.filter(action="rules_published").exists()


def test_a_publication_without_a_reason_is_refused(admin: User) -> None:
    actions.save_rules(make_set(BRANDS), editor=admin)

    with pytest.raises(IntegrityError, match="has_reason"), transaction.atomic():
        actions.publish(reason="", publisher=admin)

    assert not Entry.objects.filter(action="rules_published").exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["guardrails_ruleset", "guardrails_publication"])
def test_what_was_published_cannot_be_changed(admin: User, table: str) -> None:
    publish(admin, BRANDS)

    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="denied"):
        cursor.execute(f"DELETE FROM {table}")  # noqa: S608


def test_a_rule_that_is_saved_is_its_next_version(admin: User) -> None:
    rule = Rule(
        slug="brands", name="Brands", direction="output", kind="terms", action="tag"
    )
    actions.save_rule(rule, editor=admin, is_new=True)
    actions.save_rule(rule, editor=admin, is_new=False)
    actions.save_rule(rule, editor=admin, is_new=False)

    rule.refresh_from_db()
    assert rule.version == 3
    assert list(Entry.objects.order_by("id").values_list("action", flat=True)) == [
        "rule_added",
        "rule_changed",
        "rule_changed",
    ]


def test_rules_that_are_put_into_the_draft_are_on_record(admin: User) -> None:
    actions.save_rules(make_set(BRANDS), editor=admin)
    actions.save_rules(make_set(BRANDS, make_threshold()), editor=admin)

    entries = Entry.objects.order_by("id")
    assert {entry.actor for entry in entries} == {"ada"}
    assert [(entry.action, entry.subject) for entry in entries] == [
        ("rule_added", "rule:brands"),
        ("rule_changed", "rule:brands"),
        ("rule_added", "rule:discounts"),
    ]
    assert entries[0].detail == {"version": 1, "mode": "enforce"}


def test_a_rule_that_is_deleted_is_on_record(admin: User) -> None:
    actions.save_rules(make_set(BRANDS), editor=admin)

    actions.delete_rules([Rule.objects.get().pk], editor=admin)

    assert not Rule.objects.exists()
    assert Entry.objects.get(action="rule_deleted").subject == "rule:brands"
