"""Publishing: an immutable set of rules with a hash, or sentences that say why not."""

import hashlib
import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, connection, transaction

from controlplane.audit.models import Entry
from controlplane.runtime.models import ControlVersion, OutboxRecord
from guardrails import actions, rules
from guardrails.cases import run_cases
from guardrails.checks import MAX_CHARACTERS
from guardrails.models import Publication, Rule, RuleSet, RuleVersion
from tests.factories import make_admin
from tests.guardrails.factories import (
    make_pattern,
    make_set,
    make_terms,
    make_threshold,
)

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
            "Brands: “BMW” must hit, but alone and together it came out as allow: nothing hit.",
        ),
        (
            make_terms(must_pass=("Tesla",)),
            "Brands: “Tesla” must pass, but alone and together it came out as replace: brands at “Tesla”.",
        ),
        (make_terms(), "Brands has no case that was evaluated."),
        (make_threshold(field="amount", must_hit=("10 % off",)), "amount"),
        (
            make_threshold(limit=float("inf"), must_hit=("10 % off",)),
            "limit must be a finite number",
        ),
    ],
    ids=["invalid", "must hit", "must pass", "no case", "unknown field", "no limit"],
)
def test_a_draft_that_cannot_be_in_force_is_refused_in_sentences(
    admin: User, rule: Any, sentence: str
) -> None:
    with pytest.raises(actions.InvalidRulesError) as refusal:
        publish(admin, rule)

    [problem] = refusal.value.problems
    assert sentence in problem
    assert not RuleSet.objects.exists()
    assert not Entry.objects.filter(action="rules_published").exists()


def test_a_rule_says_of_each_text_how_long_it_may_be_where_a_row_has_an_end() -> None:
    ends = {}
    for field in Rule._meta.concrete_fields:
        of_one: Any = getattr(field, "base_field", field)
        if of_one.max_length and not of_one.choices:
            ends["id" if field.name == "slug" else field.name] = of_one.max_length

    assert ends == MAX_CHARACTERS | {"field": 50}  # which is of a closed list


def test_a_publication_without_a_reason_is_refused(admin: User) -> None:
    actions.save_rules(make_set(BRANDS), editor=admin)

    with pytest.raises(IntegrityError, match="has_reason"), transaction.atomic():
        actions.publish(reason="", publisher=admin)

    assert not Entry.objects.filter(action="rules_published").exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "table",
    ["guardrails_ruleset", "guardrails_publication", "guardrails_ruleversion"],
)
def test_what_was_published_cannot_be_changed(admin: User, table: str) -> None:
    publish(admin, BRANDS)

    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="denied"):
        cursor.execute(f"DELETE FROM {table}")  # noqa: S608


def test_a_rule_that_is_saved_is_its_next_version_and_each_is_kept(admin: User) -> None:
    for seen, terms in enumerate((("tesla",), ("tesla", "bmw"), ("kia",))):
        actions.save_rule(make_terms(terms=terms), editor=admin, seen=seen)

    assert Rule.objects.get().version == 3
    versions = RuleVersion.objects.latest_first()
    assert [each.body["terms"] for each in versions] == [
        ["kia"],
        ["tesla", "bmw"],
        ["tesla"],
    ]
    assert str(versions[0]) == "brands v3"
    assert list(Entry.objects.order_by("id").values_list("action", flat=True)) == [
        "rule_added",
        "rule_changed",
        "rule_changed",
    ]


def test_what_is_saved_without_a_change_is_no_new_version(admin: User) -> None:
    actions.save_rule(BRANDS, editor=admin, seen=0)
    actions.save_rule(BRANDS, editor=admin, seen=1)

    assert RuleVersion.objects.count() == Entry.objects.count() == 1


def test_the_second_of_two_editors_is_refused_and_nothing_is_lost(admin: User) -> None:
    actions.save_rule(BRANDS, editor=admin, seen=0)
    actions.save_rule(make_terms(reply="Ours."), editor=admin, seen=1)

    with pytest.raises(actions.StaleRuleError) as stale:
        actions.save_rule(make_terms(reply="Mine."), editor=admin, seen=1)

    assert stale.value.current == Rule.objects.get()
    assert Rule.objects.get().reply == "Ours."
    with pytest.raises(actions.StaleRuleError):
        actions.delete_rule("brands", editor=admin, seen=1)
    with pytest.raises(actions.StaleRuleError):
        actions.save_rule(BRANDS, editor=admin, seen=0)


def test_of_two_who_add_the_same_rule_at_once_the_second_is_told(
    admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second has looked for it before the first committed."""
    actions.save_rule(BRANDS, editor=admin, seen=0)
    monkeypatch.setattr(actions, "_lock_as_seen", lambda *_: None)

    with pytest.raises(actions.StaleRuleError) as stale:
        actions.save_rule(make_terms(reply="Mine."), editor=admin, seen=0)

    assert stale.value.current == Rule.objects.get()


def test_a_pattern_without_end_is_refused_when_it_is_saved(admin: User) -> None:
    with pytest.raises(actions.RefusedRuleError, match="repeats inside of repeats"):
        actions.save_rule(make_pattern(r"(a+)+\1$"), editor=admin, seen=0)

    assert not Rule.objects.exists()


def test_a_rule_that_cannot_be_read_does_not_keep_others_from_being_saved(
    admin: User,
) -> None:
    Rule.objects.create(slug="odd", kind="dance", direction="output", action="tag")

    actions.save_rule(BRANDS, editor=admin, seen=0)

    assert not actions.is_same(Rule.objects.get(slug="odd"), BRANDS)
    with pytest.raises(actions.InvalidRulesError):
        actions.draft()


def test_rules_that_are_put_into_the_draft_are_on_record(admin: User) -> None:
    actions.save_rules(make_set(BRANDS), editor=admin)
    changed = actions.save_rules(make_set(BRANDS, make_threshold()), editor=admin)

    assert [rule.slug for rule in changed] == ["discounts"]
    entries = Entry.objects.order_by("id")
    assert {entry.actor for entry in entries} == {"ada"}
    assert [(entry.action, entry.subject) for entry in entries] == [
        ("rule_added", "rule:brands"),
        ("rule_added", "rule:discounts"),
    ]
    assert entries[0].detail == {"version": 1, "mode": "enforce"}


def test_a_rule_that_is_deleted_is_on_record_and_its_number_is_not_used_again(
    admin: User,
) -> None:
    actions.save_rules(make_set(BRANDS), editor=admin)

    actions.delete_rule("brands", editor=admin, seen=1)

    assert not Rule.objects.exists()
    assert Entry.objects.get(action="rule_deleted").subject == "rule:brands"
    with pytest.raises(actions.StaleRuleError):
        actions.delete_rule("brands", editor=admin, seen=0)
    assert actions.save_rule(BRANDS, editor=admin, seen=0).version == 2


def test_a_draft_that_is_not_the_one_that_was_looked_at_is_not_published(
    admin: User,
) -> None:
    actions.save_rules(make_set(BRANDS), editor=admin)
    reviewed = actions.Reviewed(rules.ruleset_hash(actions.draft()), in_force="")
    actions.save_rules(
        make_set(make_terms(reply="Hm.", must_hit=("tesla",))), editor=admin
    )

    with pytest.raises(actions.StaleDraftError):
        actions.publish(reason="new", publisher=admin, reviewed=reviewed)

    assert not Publication.objects.exists()


def test_what_was_published_since_the_look_is_not_published_over(admin: User) -> None:
    first = publish(admin, BRANDS)
    actions.save_rules(make_set(make_terms(must_hit=("tesla", "Tesla!"))), editor=admin)
    reviewed = actions.Reviewed(rules.ruleset_hash(actions.draft()), str(first.pk))
    actions.put_in_force(first.rule_set, reason="again", publisher=admin)

    with pytest.raises(actions.StaleDraftError):
        actions.publish(reason="new", publisher=admin, reviewed=reviewed)

    assert Publication.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_while_cases_are_tried_others_may_edit_and_then_it_is_not_published(
    admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    actions.save_rules(make_set(BRANDS), editor=admin)

    def edit() -> None:
        actions.save_rule(make_terms(reply="Ours."), editor=admin, seen=1)
        connection.close()

    def edited_meanwhile(*given: Any) -> Any:
        other = threading.Thread(target=edit, daemon=True)
        other.start()
        other.join(10)
        assert Rule.objects.get().reply == "Ours."
        return run_cases(*given)

    monkeypatch.setattr(actions, "run_cases", edited_meanwhile)
    with pytest.raises(actions.StaleDraftError):
        actions.publish(reason="new", publisher=admin)

    assert not Publication.objects.exists()


def test_an_import_that_was_looked_at_before_somebody_edited_changes_nothing(
    admin: User,
) -> None:
    actions.save_rules(make_set(BRANDS), editor=admin)
    wanted = make_set(make_terms(reply="Out of a file."), make_threshold())
    seen = rules.ruleset_hash(actions.with_rules(actions.draft(), wanted))
    actions.save_rule(make_terms(reply="Ours."), editor=admin, seen=1)

    with pytest.raises(actions.StaleDraftError):
        actions.save_rules(wanted, editor=admin, seen=seen)
    assert [rule.reply for rule in Rule.objects.all()] == ["Ours."]

    seen = rules.ruleset_hash(actions.with_rules(actions.draft(), wanted))
    actions.save_rules(wanted, editor=admin, seen=seen)
    assert rules.ruleset_hash(actions.draft()) == seen


def test_of_two_who_import_the_same_new_rule_at_once_the_second_is_told(
    admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second has looked for it before the first committed."""
    actions.save_rules(make_set(BRANDS), editor=admin)
    store = actions._store
    monkeypatch.setattr(
        actions,
        "_store",
        lambda each, _, *rest, **more: store(each, None, *rest, **more),
    )

    with pytest.raises(actions.StaleDraftError):
        actions.save_rules(make_set(make_terms(reply="Mine.")), editor=admin)

    assert Rule.objects.get().reply == BRANDS.reply


def test_of_two_who_roll_back_the_second_is_told(admin: User) -> None:
    first = publish(admin, BRANDS)
    second = publish(admin, make_terms(must_hit=("tesla", "Tesla!")))

    back = actions.roll_back(first, seen=str(second.pk), reason="bad", publisher=admin)

    assert back.rule_set_id == first.rule_set_id
    [entry] = Entry.objects.filter(action="rules_rolled_back")
    assert entry.detail["ruleset_hash"] == first.rule_set_id
    with pytest.raises(actions.StaleDraftError):
        actions.roll_back(first, seen=str(second.pk), reason="bad", publisher=admin)
