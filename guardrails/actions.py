"""Every write to rules and rule-sets."""

import msgspec
from django.contrib.auth.models import User
from django.db import transaction

from controlplane.audit import actions as audit
from controlplane.runtime.actions import change_control
from guardrails import rules
from guardrails.cases import CaseFailure, run_cases
from guardrails.checks import check_rule_set
from guardrails.models import Publication, Rule, RuleSet


class InvalidRulesError(Exception):
    """The draft cannot be published; problems are sentences for the person who tried."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


def draft() -> rules.RuleSet:
    """Return the rules as they stand in the editor. InvalidRulesError if one cannot be read."""
    return rules.RuleSet(
        tuple(_to_struct(rule) for rule in Rule.objects.order_by("slug"))
    )


def is_same(rule: Rule, published: rules.Rule) -> bool:
    """Whether a rule of the draft is as it was published. One that cannot be read is not."""
    try:
        return _to_struct(rule) == published
    except InvalidRulesError:
        return False


def _to_struct(rule: Rule) -> rules.Rule:
    fields = {name: getattr(rule, name) for name in _FIELDS}
    try:
        return msgspec.convert({"id": rule.slug} | fields, rules.Rule)
    except msgspec.ValidationError as error:
        raise InvalidRulesError([f"{rule.name}: {error}."]) from error


# All fields of a rule but its id, which is the row's slug.
_FIELDS = [field for field in rules.Rule.__struct_fields__ if field != "id"]


@transaction.atomic
def publish(*, reason: str, publisher: User) -> Publication:
    """Make the draft an immutable rule-set that every worker obeys from now on.

    InvalidRulesError if a rule is invalid or one of its cases does not come out as it must.
    """
    list(Rule.objects.select_for_update().order_by("slug"))
    rule_set = draft()
    problems = check_rule_set(rule_set)
    if not problems:
        problems = [_sentence(failure) for failure in run_cases(rule_set)]
    if problems:
        raise InvalidRulesError(problems)
    stored, _ = RuleSet.objects.get_or_create(
        hash=rules.ruleset_hash(rule_set),
        defaults={"body": rules.encode_rule_set(rule_set)},
    )
    return put_in_force(stored, reason=reason, publisher=publisher)


@transaction.atomic
def put_in_force(rule_set: RuleSet, *, reason: str, publisher: User) -> Publication:
    """Let a stored rule-set be the one that counts: a publication, or a rollback to it."""
    publication = Publication.objects.create(
        rule_set=rule_set, published_by=publisher, reason=reason
    )
    change_control(
        kind="rules_published",
        subject="guardrails",
        actor=publisher,
        reason=reason,
        detail={"ruleset_hash": rule_set.hash},
    )
    return publication


@transaction.atomic
def save_rule(rule: Rule, *, editor: User, is_new: bool) -> None:
    """Save a rule of the draft as its next version."""
    if not is_new:
        current = Rule.objects.select_for_update().get(pk=rule.pk)
        rule.version = current.version + 1
    rule.save()
    _log(rule, editor, is_new=is_new)


@transaction.atomic
def delete_rules(keys: list[int], *, editor: User) -> None:
    for rule in Rule.objects.filter(pk__in=keys):
        audit.record(editor, "rule_deleted", f"rule:{rule.slug}")
        rule.delete()


@transaction.atomic
def save_rules(rule_set: rules.RuleSet, *, editor: User) -> None:
    """Put rules into the draft as they are, over those with the same id."""
    for each in rule_set.rules:
        fields = msgspec.to_builtins(each)
        rule, is_new = Rule.objects.update_or_create(
            slug=fields.pop("id"), defaults=fields
        )
        _log(rule, editor, is_new=is_new)


def _log(rule: Rule, editor: User, *, is_new: bool) -> None:
    audit.record(
        editor,
        "rule_added" if is_new else "rule_changed",
        f"rule:{rule.slug}",
        detail={"version": rule.version, "mode": rule.mode},
    )


def _sentence(failure: CaseFailure) -> str:
    if failure.wanted == "a case":
        return f"{failure.rule} has no case that was evaluated."
    return (
        f"{failure.rule}: “{failure.text}” must {failure.wanted}, "
        f"but {failure.where} it came out as {failure.got}."
    )
