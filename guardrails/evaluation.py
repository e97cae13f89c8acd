"""Counts how well a rule-set tells texts apart that people have labelled: for each rule, and for the set."""

from collections.abc import Iterable, Sequence

import msgspec

from guardrails.compiled import RUNNING
from guardrails.context import Direction
from guardrails.rules import RuleSet
from guardrails.verdicts import PASSING, Finding, Verdict

MAX_SAMPLES = 10
MAX_SPANS = 20
SAMPLE_CHARACTERS = 300
BEFORE_CHARACTERS = 100  # of a sample, before what was hit first
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
    """A part of a text. start: where it begins there; spans are places in the part."""

    file: str
    line: int
    text: str
    said: str = ""
    start: int = 0
    spans: tuple[tuple[int, int], ...] = ()


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

    def count(self, row: Row, findings: Sequence[Finding], *, should: bool) -> None:
        """findings: what makes it a hit; without any it is none."""
        match bool(findings), should:
            case True, True:
                self.true_positives += 1
            case True, False:
                self.false_positives += 1
                _keep(self.false_positive_samples, row, findings)
            case False, True:
                self.false_negatives += 1
                _keep(self.false_negative_samples, row, ())
            case _:
                self.true_negatives += 1


class Evaluation(msgspec.Struct, kw_only=True):
    """Grows row by row; of samples it keeps a few, so a file may be of any size."""

    rows: int = 0
    whole: Figures = msgspec.field(default_factory=Figures)
    rules: dict[str, Figures] = {}
    unchecked: int = 0
    unchecked_reasons: dict[str, int] = {}

    def add(self, row: Row, verdict: Verdict) -> None:
        """Count what became of a row. One that could not be checked counts nowhere else."""
        self.rows += 1
        if error := verdict.error or verdict.shadow_error:
            reason = error[:SAMPLE_CHARACTERS]
            self.unchecked += 1
            self.unchecked_reasons[reason] = self.unchecked_reasons.get(reason, 0) + 1
            return
        is_hit = verdict.action not in PASSING or verdict.redacted
        self.whole.wanted += row.is_hit
        self.whole.count(row, verdict.findings if is_hit else (), should=row.is_hit)
        found = (*verdict.findings, *verdict.shadow)
        for rule, figures in self.rules.items():
            hits = [each for each in found if each.rule == rule]
            figures.wanted += rule in row.rules
            if hits or row.rules or not row.is_hit:  # else nobody knows
                should = rule in row.rules or (row.is_hit and not row.rules)
                figures.count(row, hits, should=should)


def begin(rule_set: RuleSet) -> Evaluation:
    """Return an evaluation of no text yet. A rule that only watches has figures too, and is nothing to the set's."""
    running = [rule.id for rule in rule_set.rules if rule.mode in RUNNING]
    return Evaluation(rules={rule: Figures() for rule in running})


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


def _keep(samples: list[Sample], row: Row, findings: Sequence[Finding]) -> None:
    """Keep the part of the text with what was hit first."""
    if len(samples) >= MAX_SAMPLES:
        return
    first = min((each.start for each in findings), default=0)
    latest = max(0, len(row.text) - SAMPLE_CHARACTERS)
    start = max(0, min(first - BEFORE_CHARACTERS, latest))
    text = row.text[start : start + SAMPLE_CHARACTERS]
    said = {each.rule: each.said for each in findings}
    sample = Sample(
        row.file,
        row.number,
        text,
        "; ".join(f"{rule}: “{words}”" for rule, words in said.items()),
        start,
        tuple((f.start - start, f.end - start) for f in findings[:MAX_SPANS]),
    )
    samples.append(sample)
