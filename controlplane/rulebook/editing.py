"""What the page of one rule shows: its form, what it costs, its cases, who wrote which version."""

from collections import defaultdict
from typing import Any

import msgspec
from django.contrib.auth.models import User
from django.utils.safestring import SafeString

from controlplane.rulebook import diffs, tryout
from controlplane.rulebook.backtesting import SizeForm
from controlplane.rulebook.forms import KINDS, RuleForm
from controlplane.rulebook.listing import rights
from guardrails import actions, rules
from guardrails.admission import Admission
from guardrails.cases import CaseFailure
from guardrails.models import Rule, RuleVersion

VERSIONS = 10
WHERE = {"alone": "alone", "together": "with all rules"}
ENGINES = {
    "fast": ("go", "fast", "hyperscan runs it, with all other patterns in one pass"),
    "look-around": (
        "soft",
        "look-around",
        "hyperscan finds the texts that come into question; on those it is searched by regex, within a time limit",
    ),
    "slow": (
        "soft",
        "slow",
        "hyperscan cannot help: it is searched by regex in every text, within a time limit",
    ),
    "expression": ("go", "expression", "compiled, its types checked"),
    "model": (
        "work",
        "model",
        "a model gives the number; it is judged after the others",
    ),
}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A test case, and each way in which it came out wrong when the rule was saved, with where that was."""

    wanted: str
    text: str
    failures: list[tuple[str, str]]


class Both(msgspec.Struct, frozen=True, kw_only=True):
    """A field that somebody else has changed meanwhile, as both wrote it over what had been there.

    is_clash: the person who writes now has changed it, too, to something else.
    """

    label: str
    theirs: SafeString
    yours: SafeString
    is_clash: bool


def find(slug: str, kind: str) -> tuple[Rule | None, rules.Rule | None]:
    """Return a rule of the draft that can be read, and what it says if it is of this kind."""
    row = Rule.objects.filter(slug=slug.replace("\0", " ")).first()
    try:
        current = actions.to_struct(row) if row else None
    except actions.InvalidRulesError:
        return None, None
    return row, current if current and current.kind == kind else None


def rule_context(
    row: Rule | None,
    form: RuleForm,
    user: User,
    *,
    text: str = "",
    tried: tryout.Tried | None = None,
    clash: dict[str, Any] | None = None,
) -> dict[str, Any]:
    versions = RuleVersion.objects.filter(slug=row.slug) if row else None
    latest = (
        list(versions.select_related("saved_by").latest_first()[:VERSIONS])
        if versions is not None
        else []
    )
    direction = form["direction"].value() or "output"
    return {
        "rule": row,
        "form": form,
        "kind_says": KINDS[form.kind_name][0],
        "text": text,
        "tried": tried,
        "recorded": tryout.recorded(user, direction),
        "versions": latest,
        "clash": clash,
        "size": SizeForm(),
        **measured(latest[0] if latest else None),
        **rights(user),
    }


def measured(version: RuleVersion | None) -> dict[str, Any]:
    """What was found out about a version when it was saved. Nothing, if it came by another way."""
    rule = _as_saved(version)
    if version is None or rule is None or version.admission is None:
        return {"admission": None, "cases": []}
    admission = msgspec.convert(version.admission, Admission)
    cases = _cases(rule, admission)
    return {
        "admission": admission,
        "engine": ENGINES.get(admission.engine, ("plain", admission.engine, "")),
        "cases": cases,
        "failed": sum(bool(case.failures) for case in cases),
    }


def _as_saved(version: RuleVersion | None) -> rules.Rule | None:
    """None if there is none, or if a later version of the product wrote it."""
    try:
        return msgspec.convert(version.body, rules.Rule) if version else None
    except msgspec.ValidationError:
        return None


def _cases(rule: rules.Rule, admission: Admission) -> list[Case]:
    wanted = [("hit", text) for text in rule.must_hit]
    wanted += [("pass", text) for text in rule.must_pass]
    failures: dict[tuple[str, str], list[CaseFailure]] = defaultdict(list)
    for each in admission.cases:
        failures[each.wanted, each.text].append(each)
    return [
        Case(wanted=want, text=text, failures=_ways(failures[want, text]))
        for want, text in wanted
    ]


def _ways(failures: list[CaseFailure]) -> list[tuple[str, str]]:
    """One for each way in which a case came out: alone, with all rules or both, in which tiers."""
    ways: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for each in failures:
        ways[each.got, each.places].append(WHERE[each.where])
    return [
        (got, " in ".join(filter(None, (" and ".join(where), ", ".join(places)))))
        for (got, places), where in ways.items()
    ]


def merge(
    mine: rules.Rule, seen: int, current: Rule
) -> tuple[rules.Rule, dict[str, Any]]:
    """Bring two edits of one version together: fields that one person changed are as he wrote them.

    Where both did, mine stands in the form, and what both wrote is returned to be shown.
    """
    theirs = actions.to_struct(current)
    before = RuleVersion.objects.filter(slug=mine.id, version=seen).first()
    base = _as_saved(before) or theirs
    by_them = set(diffs.differing(base, theirs))
    by_me = set(diffs.differing(base, mine))
    taken = {name: getattr(theirs, name) for name in by_them - by_me}
    merged = msgspec.structs.replace(mine, version=current.version, **taken)
    clashing = by_me.intersection(by_them, diffs.differing(theirs, mine))
    shown = [
        Both(
            label=diffs.label_of(name),
            theirs=diffs.difference(getattr(base, name), getattr(theirs, name)),
            yours=diffs.difference(getattr(base, name), getattr(mine, name)),
            is_clash=name in clashing,
        )
        for name in diffs.differing(base, theirs)
        if name in clashing or name in taken
    ]
    latest = RuleVersion.objects.filter(slug=mine.id).select_related("saved_by")
    return merged, {
        "version": latest.latest_first().first(),
        "seen": seen,
        "both": [each for each in shown if each.is_clash],
        "theirs": [each for each in shown if not each.is_clash],
    }
