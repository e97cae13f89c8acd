"""Every write to rules and rule-sets."""

from typing import NamedTuple

import msgspec
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from controlplane.audit import actions as audit
from controlplane.runtime.actions import change_control
from controlplane.runtime.models import ControlVersion
from guardrails import rules, scored
from guardrails.admission import Admission, admit
from guardrails.cases import CaseFailure, run_cases
from guardrails.checks import check_rule_set
from guardrails.engine import Engine, compile_rules
from guardrails.models import CompiledSet, Publication, Rule, RuleSet, RuleVersion

KEPT_COMPILED = 10  # publications


class InvalidRulesError(Exception):
    """The draft cannot be published; problems are sentences for the person who tried."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


class RefusedRuleError(Exception):
    """A rule must not get into the draft, for reasons that its admission tells."""

    def __init__(self, admission: Admission) -> None:
        super().__init__(" ".join(admission.problems))
        self.admission = admission


class StaleRuleError(Exception):
    """The rule is no longer as its editor saw it; current is what stands in the draft now, if anything."""

    def __init__(self, current: Rule | None) -> None:
        super().__init__("Somebody else has changed the rule.")
        self.current = current


class StaleDraftError(Exception):
    """The draft, or what is in force, is no longer what the person looked at."""


def draft() -> rules.RuleSet:
    """Return the rules as they stand in the editor. InvalidRulesError if one cannot be read."""
    return rules.RuleSet(
        tuple(to_struct(rule) for rule in Rule.objects.order_by("slug"))
    )


def is_same(rule: Rule, published: rules.Rule) -> bool:
    """Whether a rule of the draft is as it was published. One that cannot be read is not."""
    try:
        return to_struct(rule) == published
    except InvalidRulesError:
        return False


def to_struct(rule: Rule) -> rules.Rule:
    """Raises InvalidRulesError."""
    fields = {name: getattr(rule, name) for name in _FIELDS}
    try:
        return msgspec.convert({"id": rule.slug} | fields, rules.Rule)
    except msgspec.ValidationError as error:
        raise InvalidRulesError([f"{rule.name}: {error}."]) from error


# All fields of a rule but its id, which is the row's slug.
_FIELDS = [field for field in rules.Rule.__struct_fields__ if field != "id"]


class Reviewed(NamedTuple):
    """What a person has looked at: the hash of the draft, and the key of the publication it was held against, if any."""

    draft: str
    in_force: str


def publish(
    *, reason: str, publisher: User, reviewed: Reviewed | None = None
) -> Publication:
    """Make the draft an immutable rule-set that every worker obeys from now on.

    reviewed: StaleDraftError if the draft, or what is in force, is another one by now. InvalidRulesError if a rule is
    invalid or one of its cases does not come out as it must. Meanwhile, which may be long, nobody is kept from editing.
    """
    rule_set = draft()
    if reviewed is not None and reviewed.draft != rules.ruleset_hash(rule_set):
        raise StaleDraftError
    compiled = _try_cases(rule_set).dump()
    return _publish(
        rule_set, compiled, reason=reason, publisher=publisher, reviewed=reviewed
    )


def _try_cases(rule_set: rules.RuleSet) -> Engine:
    if problems := check_rule_set(rule_set):
        raise InvalidRulesError(problems)
    engine = compile_rules(rule_set)
    score = scored.scoring(rule_set.rules)
    if failures := run_cases(rule_set, score, engine):
        raise InvalidRulesError(_sentences(failures, rule_set))
    return engine


@transaction.atomic
def _publish(
    rule_set: rules.RuleSet,
    compiled: bytes,
    *,
    reason: str,
    publisher: User,
    reviewed: Reviewed | None,
) -> Publication:
    """Put a set in force whose cases were tried, if it is still the draft."""
    list(Rule.objects.select_for_update().order_by("slug"))
    in_force = _lock_in_force()
    if draft() != rule_set or (reviewed and reviewed.in_force != in_force):
        raise StaleDraftError
    stored, _ = RuleSet.objects.get_or_create(
        hash=rules.ruleset_hash(rule_set),
        defaults={"body": rules.encode_rule_set(rule_set)},
    )
    made = put_in_force(stored, reason=reason, publisher=publisher)
    _keep_compiled(stored, compiled)
    return made


def _lock_in_force() -> str:
    """The key of the publication in force, if any, while nobody else puts one in force."""
    ControlVersion.objects.select_for_update().get(pk=1)
    latest = Publication.objects.latest_first().values_list("pk", flat=True).first()
    return str(latest or "")


def _keep_compiled(stored: RuleSet, compiled: bytes) -> None:
    """Of the latest ones, to which people may want to go back soon."""
    CompiledSet.objects.update_or_create(rule_set=stored, defaults={"body": compiled})
    latest = Publication.objects.latest_first().values("rule_set")[:KEPT_COMPILED]
    CompiledSet.objects.exclude(rule_set__in=latest).delete()


@transaction.atomic
def roll_back(
    publication: Publication, *, seen: str, reason: str, publisher: User
) -> Publication:
    """Put an earlier publication's rule-set in force again. The draft stays as it is.

    seen: the key of the publication that was in force when the person looked; StaleDraftError if another one is.
    """
    if _lock_in_force() != seen:
        raise StaleDraftError
    return put_in_force(
        publication.rule_set,
        reason=reason,
        publisher=publisher,
        kind="rules_rolled_back",
    )


@transaction.atomic
def put_in_force(
    rule_set: RuleSet, *, reason: str, publisher: User, kind: str = "rules_published"
) -> Publication:
    """Let a stored rule-set be the one that counts. kind: what the log calls it."""
    publication = Publication.objects.create(
        rule_set=rule_set, published_by=publisher, reason=reason
    )
    change_control(
        kind=kind,
        subject="guardrails",
        actor=publisher,
        reason=reason,
        detail={"ruleset_hash": rule_set.hash},
    )
    return publication


def save_rule(wanted: rules.Rule, *, editor: User, seen: int) -> Rule:
    """Save a rule of the draft as its next version, once it is admitted, which may take seconds.

    seen: the version that its editor began with, 0 for a new rule. RefusedRuleError, or StaleRuleError if another
    version stands there by now.
    """
    admission = admit_with_scores(wanted, readable_draft())
    if admission.is_refused:
        raise RefusedRuleError(admission)
    try:
        return _save(wanted, admission, editor=editor, seen=seen)
    except IntegrityError as error:  # two added it at the same moment
        raise StaleRuleError(_find(wanted.id)) from error


def admit_with_scores(wanted: rules.Rule, beside: rules.RuleSet) -> Admission:
    """Admit a rule by its cases, for which scorers are asked where it needs them."""
    others = [each for each in beside.rules if each.id != wanted.id]
    return admit(wanted, beside, scored.scoring([*others, wanted]))


@transaction.atomic
def _save(wanted: rules.Rule, admission: Admission, *, editor: User, seen: int) -> Rule:
    row = _lock_as_seen(wanted.id, seen)
    if row is not None and _is_as(row, wanted):
        return row
    latest = RuleVersion.objects.filter(slug=wanted.id).latest_versions()
    return _store(
        wanted, row, admission, editor=editor, latest=latest.get(wanted.id, 0)
    )


def _lock_as_seen(slug: str, seen: int) -> Rule | None:
    row = Rule.objects.select_for_update().filter(slug=slug).first()
    if (row.version if row else 0) != seen:
        raise StaleRuleError(row)
    return row


def _find(slug: str) -> Rule | None:
    return Rule.objects.filter(slug=slug).first()


def readable_draft() -> rules.RuleSet:
    """The draft without what cannot be read, which is no reason to refuse another rule."""
    found = []
    for rule in Rule.objects.order_by("slug"):
        try:
            found.append(to_struct(rule))
        except InvalidRulesError:
            continue
    return rules.RuleSet(tuple(found))


@transaction.atomic
def delete_rule(slug: str, *, editor: User, seen: int) -> None:
    """Take a rule out of the draft. StaleRuleError if it is another version than the one seen."""
    rule = _lock_as_seen(slug, seen)
    if rule is None:
        raise StaleRuleError(None)
    audit.record(
        editor, "rule_deleted", f"rule:{slug}", detail={"version": rule.version}
    )
    rule.delete()


def with_rules(base: rules.RuleSet, wanted: rules.RuleSet) -> rules.RuleSet:
    """What a draft becomes once these rules are saved in it, with the versions that they get."""
    there = {rule.id: rule for rule in base.rules}
    latest = RuleVersion.objects.latest_versions()
    saved = {
        each.id: _after(there.get(each.id), each, latest.get(each.id, 0))
        for each in wanted.rules
    }
    return rules.RuleSet(tuple((there | saved).values()))


def _after(before: rules.Rule | None, wanted: rules.Rule, latest: int) -> rules.Rule:
    number = before.version if before else 0
    if before == msgspec.structs.replace(wanted, version=number):
        return before
    return msgspec.structs.replace(wanted, version=max(latest, number) + 1)


def save_rules(
    wanted: rules.RuleSet, *, editor: User, seen: str | None = None
) -> list[Rule]:
    """Put rules into the draft, over those with the same id. Return those that this has changed.

    seen: the hash of what the person was told that the draft becomes; StaleDraftError if it would become something else.
    """
    try:
        return _save_rules(wanted, editor=editor, seen=seen)
    except IntegrityError as error:  # somebody added one of them at the same moment
        raise StaleDraftError from error


@transaction.atomic
def _save_rules(wanted: rules.RuleSet, *, editor: User, seen: str | None) -> list[Rule]:
    locked = Rule.objects.select_for_update().order_by("slug")
    there = {rule.slug: rule for rule in locked}
    becomes = with_rules(readable_draft(), wanted)
    if seen is not None and seen != rules.ruleset_hash(becomes):
        raise StaleDraftError
    latest = RuleVersion.objects.latest_versions()
    return [
        _store(
            each,
            there.get(each.id),
            None,
            editor=editor,
            latest=latest.get(each.id, 0),
        )
        for each in wanted.rules
        if each.id not in there or not _is_as(there[each.id], each)
    ]


def _is_as(row: Rule, wanted: rules.Rule) -> bool:
    """Whether they differ in their version at most."""
    return is_same(row, msgspec.structs.replace(wanted, version=row.version))


def _store(
    wanted: rules.Rule,
    row: Rule | None,
    admission: Admission | None,
    *,
    editor: User,
    latest: int,
) -> Rule:
    """latest: the highest version that there ever was of it, also if it had left the draft."""
    version = max(latest, row.version if row else 0) + 1
    wanted = msgspec.structs.replace(wanted, version=version)
    fields = msgspec.to_builtins(wanted)
    saved = Rule(pk=row.pk if row else None, slug=fields.pop("id"), **fields)
    saved.save(force_insert=row is None, force_update=row is not None)
    RuleVersion.objects.create(
        slug=wanted.id,
        version=version,
        body=_as_json(wanted),
        admission=_as_json(admission) if admission else None,
        saved_by=editor,
    )
    audit.record(
        editor,
        "rule_changed" if row else "rule_added",
        f"rule:{wanted.id}",
        detail={"version": version, "mode": wanted.mode},
    )
    return saved


def _as_json(struct: msgspec.Struct) -> object:
    """What PostgreSQL takes: JSON has no infinity."""
    return msgspec.json.decode(msgspec.json.encode(struct))


def _sentences(failures: list[CaseFailure], rule_set: rules.RuleSet) -> list[str]:
    """One for each way in which a case came out, wherever it did."""
    names = {rule.id: rule.name for rule in rule_set.rules}
    ways: dict[CaseFailure, list[str]] = {}
    for each in failures:
        way = msgspec.structs.replace(each, where="alone")
        ways.setdefault(way, []).append(each.where)
    return [_sentence(way, names[way.rule], where) for way, where in ways.items()]


def _sentence(failure: CaseFailure, name: str, where: list[str]) -> str:
    if failure.wanted == "a case":
        return f"{name} has no case that was evaluated."
    places = ", ".join((" and ".join(where), *failure.places))
    return (
        f"{name}: “{failure.text}” must {failure.wanted}, "
        f"but {places} it came out as {failure.got}."
    )
