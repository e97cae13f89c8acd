"""What keeps a rule from being enforced, in sentences for the person who edits it."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import phonenumbers
import regex  # type: ignore[import-untyped]

from guardrails.expressions import Expression, ExpressionError
from guardrails.grammar import UntranslatableError, translate
from guardrails.kinds import make_terms
from guardrails.patterns import Pattern, compile_pattern
from guardrails.pii.types import TYPES
from guardrails.rules import TEAMS, Kind, Rule, RuleSet
from guardrails.text import normalise


class Problem(str):
    """A sentence about one field of a rule."""

    field: str

    def __new__(cls, field: str, sentence: str) -> "Problem":
        problem = super().__new__(cls, sentence)
        problem.field = field
        return problem


WITH_PLACES = frozenset({"terms", "pattern", "pii"})
MAX_TERM_CHARACTERS = 500  # hyperscan takes 16,000 bytes, and a sign may need 30
_SCORED = frozenset({"score", "topic", "judge"})
MAX_CHARACTERS = {
    "id": 50,
    "name": 200,
    "team": 50,
    "score": 50,
    "tiers": 50,
    "workflows": 50,
}
MAX_PRIORITY = 2**31 - 1
MAX_CASES = 500  # each is tried whenever the rule is saved, and all are to publish
_OF_JUDGES = frozenset({"tag", "escalate"})
_NO_CHARACTER = regex.compile("[\x00\ud800-\udfff]")  # of any text that can be kept


def check_rule(rule: Rule) -> list[Problem]:
    """What cannot be kept is not looked at any further."""
    return list(_check_values(rule)) or [
        *_check_names(rule),
        *_CONTENT[rule.kind](rule),
        *_check_action(rule),
        *_check_mode(rule),
        *_check_list(rule),
        *_check_exceptions(rule),
        *_check_lists(rule),
    ]


def check_rule_set(rule_set: RuleSet) -> list[str]:
    counts = Counter(rule.id for rule in rule_set.rules)
    problems = [
        f"The id {key} is used by {count} rules."
        for key, count in counts.items()
        if count > 1
    ]
    for rule in rule_set.rules:
        problems += [
            f"{rule.name or rule.id}: {problem}" for problem in check_rule(rule)
        ]
    return problems


def _check_values(rule: Rule) -> Iterator[Problem]:
    """What a row of the draft, or the JSON of a rule-set, cannot hold as it is."""
    for name in rule.__struct_fields__:
        value = getattr(rule, name)
        texts = value if isinstance(value, tuple) else (value,)
        for text in filter(_is_text, texts):
            yield from _check_text(name, text)
    for name in ("limit", "percent"):
        if not math.isfinite(getattr(rule, name) or 0):
            yield Problem(name, f"The {name} must be a finite number.")
    if abs(rule.priority) > MAX_PRIORITY:
        yield Problem("priority", f"The priority must be between ±{MAX_PRIORITY:,}.")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _check_text(name: str, text: str) -> Iterator[Problem]:
    where, most = name.replace("_", " "), MAX_CHARACTERS.get(name, len(text))
    if _NO_CHARACTER.search(text):
        yield Problem(name, f"A character in {where} is one that no text can have.")
    if len(text) > most:
        says = f"More than {most} characters in {where}: there are {len(text):,}."
        yield Problem(name, says)


def _check_names(rule: Rule) -> Iterator[Problem]:
    if not regex.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", rule.id):
        yield Problem(
            "id", "The id must be lower-case letters, digits and single dashes."
        )
    if not rule.name.strip():
        yield Problem("name", "The rule needs a name.")


def _check_terms(rule: Rule) -> Iterator[Problem]:
    if not rule.terms:
        yield Problem("terms", "A rule of terms needs at least one term.")


def _check_pattern(rule: Rule) -> Iterator[Problem]:
    """What hyperscan runs is right, and never empty; the rest is asked of `regex`, which takes longer."""
    with suppress(UntranslatableError):
        if translate(rule.pattern).is_exact:
            return
    try:
        compiled = compile_pattern(rule.pattern)
    except regex.error as error:
        yield Problem(
            "pattern",
            f"The pattern does not compile: {error.msg} at column {error.pos + 1}.",
        )
    else:
        # A boundary alone, such as \b, matches nothing too, only not in an empty text.
        if any(found.start() == found.end() for found in _try(compiled)):
            yield Problem(
                "pattern",
                "The pattern matches the empty string, so it would hit every text.",
            )


def _try(compiled: Pattern) -> Iterator[Any]:
    return (found for text in (" a 1.", "a 1") for found in compiled.finditer(text))


def _check_pii(rule: Rule) -> Iterator[Problem]:
    if not rule.types:
        yield Problem("types", "A rule of personal data needs at least one type.")
    for name in rule.types:
        if name not in TYPES:
            yield Problem(
                "types", f"There is no type {name}; there are {', '.join(TYPES)}."
            )
    for region in rule.regions:
        if region not in phonenumbers.SUPPORTED_REGIONS:
            yield Problem(
                "regions",
                f"There is no region {region}; write two capitals, such as DE.",
            )


def _check_threshold(rule: Rule) -> Iterator[Problem]:
    if not rule.field:
        yield Problem("field", "A threshold needs the field it reads.")
    if rule.limit is None:
        yield Problem("limit", "A threshold needs a limit.")


def _check_expression(rule: Rule) -> Iterator[Problem]:
    try:
        Expression(rule.expression, rule.limit)
    except ExpressionError as error:
        yield Problem("expression", f"The expression is not right at {error}.")


def _check_score(rule: Rule) -> Iterator[Problem]:
    if not regex.fullmatch(r"[a-z][a-z0-9_]*", rule.score):
        yield Problem(
            "score",
            "The rule needs the name of the score that it reads, such as toxicity.",
        )
    yield from _check_limit(rule)


def _check_topic(rule: Rule) -> Iterator[Problem]:
    if not rule.examples:
        yield Problem("examples", "A topic needs examples of what belongs to it.")
    yield from _check_limit(rule)


def _check_judge(rule: Rule) -> Iterator[Problem]:
    if not rule.instruction.strip():
        yield Problem("instruction", "A judge needs to be told what to look for.")
    if rule.action not in _OF_JUDGES:
        yield Problem(
            "action",
            "A judge is a model that advises: it can tag, or escalate to people.",
        )
    yield from _check_limit(rule)


def _check_limit(rule: Rule) -> Iterator[Problem]:
    if rule.limit is None or not -1 <= rule.limit <= 1:
        yield Problem(
            "limit",
            "The rule needs a limit between -1 and 1, for its score to be above or, of an allow-list, below.",
        )


_CONTENT: dict[Kind, Callable[[Rule], Iterator[Problem]]] = {
    "terms": _check_terms,
    "pattern": _check_pattern,
    "pii": _check_pii,
    "threshold": _check_threshold,
    "expression": _check_expression,
    "score": _check_score,
    "topic": _check_topic,
    "judge": _check_judge,
}


def _check_list(rule: Rule) -> Iterator[Problem]:
    if rule.is_allow_list and rule.kind != "topic":
        yield Problem("is_allow_list", "Only a topic can be an allow-list.")


def _check_exceptions(rule: Rule) -> Iterator[Problem]:
    if rule.exceptions and rule.kind in _SCORED:
        yield Problem(
            "exceptions",
            "Words excuse nothing that models score; write counter-examples of a topic.",
        )


def _check_action(rule: Rule) -> Iterator[Problem]:
    if rule.action == "block" and rule.direction != "input":
        yield Problem(
            "action",
            "Only what comes in can be blocked; replace or escalate an answer.",
        )
    if rule.action == "replace" and rule.direction != "output":
        yield Problem(
            "action", "Only an answer can be replaced; block or escalate what comes in."
        )
    if rule.action in {"block", "replace"} and not rule.reply.strip():
        yield Problem("reply", "The rule needs the text that the user gets instead.")
    if rule.action == "escalate" and rule.team not in TEAMS:
        yield Problem(
            "team", f"The rule needs the team that decides: {', '.join(TEAMS)}."
        )
    if rule.action == "redact" and rule.kind not in WITH_PLACES:
        yield Problem(
            "action", "Only terms, patterns and personal data have places to redact."
        )


def _check_mode(rule: Rule) -> Iterator[Problem]:
    if rule.mode == "canary" and not 0 < rule.percent <= 100:  # noqa: PLR2004
        yield Problem(
            "percent", "A canary needs a percentage above 0, and 100 at most."
        )


def _check_lists(rule: Rule) -> Iterator[Problem]:
    if not rule.workflows:
        yield Problem(
            "workflows", "The rule covers no workflow, so it would never run."
        )
    for field, word in _LISTS.items():
        entries = getattr(rule, field)
        sizes = [len(normalise(entry).text.strip()) for entry in entries]
        is_scanned = field in _SCANNED
        if not all(sizes) or (is_scanned and not all(map(_has_words, entries))):
            yield Problem(field, f"One {word} is blank.")
        if is_scanned and max(sizes, default=0) > MAX_TERM_CHARACTERS:
            yield Problem(
                field, f"One {word} is longer than {MAX_TERM_CHARACTERS} characters."
            )
    cases = len(rule.must_hit) + len(rule.must_pass)
    if cases > MAX_CASES:
        yield Problem(
            "must_hit",
            f"The rule has {cases:,} cases; {MAX_CASES} are the most. "
            "Evaluate the rules on labelled texts where there are more.",
        )


def _has_words(term: str) -> bool:
    """Dashes beside blanks are as good as blanks."""
    return all(each.words for each in make_terms([term]))


_SCANNED = frozenset({"terms", "exceptions"})
_LISTS = {
    "terms": "term",
    "exceptions": "exception",
    "must_hit": "case",
    "must_pass": "case",
    "examples": "example",
    "counter_examples": "example",
    "tiers": "tier",
    "workflows": "workflow",
}
