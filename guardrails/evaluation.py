"""Counts how well a rule-set tells texts apart that people have labelled: for each rule, and for the set."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from guardrails.context import Direction
from guardrails.rules import RuleSet
from guardrails.verdicts import PASSING, Verdict

MAX_SAMPLES = 10
SAMPLE_CHARACTERS = 300
HITS = frozenset(
    {
        "hit",
        "1",
        "true",
        "yes",
        "positive",
        "toxic",
        "unsafe",
        "block",
        "redact",
        "replace",
        "escalate",
    }
)
PASSES = frozenset({"pass", "0", "false", "no", "negative", "clean", "safe", *PASSING})


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A text with what should become of it. rules: those that should hit it; empty where the label names none."""

    file: str
    number: int  # of its line
    text: str
    is_hit: bool
    rules: frozenset[str] = frozenset()
    direction: Direction
    tier: str


class Sample(msgspec.Struct, frozen=True):
    file: str
    line: int
    text: str
    said: str = ""


class Figures(msgspec.Struct, kw_only=True):
    """Of texts that were checked. wanted: how many labels ask for just this; without any there is no recall."""

    wanted: int = 0
    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    true_negatives: int = 0
    false_positive_samples: list[Sample] = []
    false_negative_samples: list[Sample] = []

    @property
    def hits(self) -> int:
        return self.true_positives + self.false_positives

    @property
    def precision(self) -> float | None:
        return _share(self.true_positives, self.false_positives)

    @property
    def recall(self) -> float | None:
        return (
            _share(self.true_positives, self.false_negatives) if self.wanted else None
        )

    @property
    def false_positive_rate(self) -> float | None:
        return _share(self.false_positives, self.true_negatives)

    def count(self, row: Row, *, is_hit: bool, should: bool, said: str = "") -> None:
        match is_hit, should:
            case True, True:
                self.true_positives += 1
            case True, False:
                self.false_positives += 1
                _keep(self.false_positive_samples, row, said)
            case False, True:
                self.false_negatives += 1
                _keep(self.false_negative_samples, row, said)
            case _:
                self.true_negatives += 1


class Evaluation:
    """Grows row by row; of samples it keeps a few, so a file may be of any size."""

    def __init__(self, rule_set: RuleSet) -> None:
        self.rows = 0
        self.whole = Figures()
        self.rules = {
            rule.id: Figures() for rule in rule_set.rules if rule.mode != "off"
        }
        self.unchecked = 0
        self.unchecked_reasons: Counter[str] = Counter()

    def add(self, row: Row, verdict: Verdict) -> None:
        """Count what became of a row. One that could not be checked counts nowhere else."""
        self.rows += 1
        if verdict.error:
            self.unchecked += 1
            self.unchecked_reasons[verdict.error[:SAMPLE_CHARACTERS]] += 1
            return
        hits = {finding.rule: finding.said for finding in verdict.findings}
        said = "; ".join(f"{rule}: “{said}”" for rule, said in hits.items())
        is_hit = verdict.action not in PASSING
        self.whole.wanted += row.is_hit
        self.whole.count(row, is_hit=is_hit, should=row.is_hit, said=said)
        for rule, figures in self.rules.items():
            figures.wanted += rule in row.rules
            if rule in hits or row.rules or not row.is_hit:  # else nobody knows
                should = rule in row.rules or (row.is_hit and not row.rules)
                figures.count(
                    row, is_hit=rule in hits, should=should, said=hits.get(rule, "")
                )


class UnreadableLabelError(ValueError):
    """A label says neither whether a text should hit nor which rules should."""


def read_label(label: str, rules: Iterable[str]) -> tuple[bool, frozenset[str]]:
    """Return whether it should hit, and which rules if the label names some (with blanks, commas or semicolons)."""
    plain = label.strip().casefold()
    if not plain:
        raise UnreadableLabelError("it has no label")
    if plain in HITS or plain in PASSES:
        return plain in HITS, frozenset()
    named = frozenset(plain.replace(",", " ").replace(";", " ").split())
    if unknown := " ".join(sorted(named - frozenset(rules))):
        wanted = "neither hit nor pass, nor an action, nor a rule"
        raise UnreadableLabelError(f"the label “{unknown}” is {wanted}")
    return True, named


def _share(part: int, rest: int) -> float | None:
    return part / (part + rest) if part + rest else None


def _keep(samples: list[Sample], row: Row, said: str) -> None:
    if len(samples) < MAX_SAMPLES:
        text = row.text[:SAMPLE_CHARACTERS]
        samples.append(Sample(row.file, row.number, text, said))
