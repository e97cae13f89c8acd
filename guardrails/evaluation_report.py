"""An evaluation as people read it, and as machines do."""

from collections.abc import Iterator
from typing import Any

import msgspec

from guardrails.evaluation import Evaluation, Figures, Sample

_SHOWN = 60  # characters of a sample in a line


def as_plain(evaluation: Evaluation) -> dict[str, Any]:
    """Return what becomes the JSON report."""
    return {
        "rows": evaluation.rows,
        "unchecked": evaluation.unchecked,
        "unchecked_reasons": dict(reasons_of(evaluation)),
        "set": _figures(evaluation.whole),
        "rules": {rule: _figures(each) for rule, each in evaluation.rules.items()},
    }


def reasons_of(evaluation: Evaluation) -> list[tuple[str, int]]:
    """Why texts were not checked, the most frequent first."""
    return sorted(evaluation.unchecked_reasons.items(), key=lambda each: -each[1])


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        "precision": figures.precision,
        "recall": figures.recall,
        "false_positive_rate": figures.false_positive_rate,
        **msgspec.to_builtins(figures),
    }


def as_text(evaluation: Evaluation) -> Iterator[str]:
    """Yield the lines of a table, and below it what was wrong."""
    named = {"the whole set": evaluation.whole, **evaluation.rules}
    width = max(map(len, named))
    yield f"{'':<{width}}   hits  precision  recall  false positives"
    for name, figures in named.items():
        clean = figures.false_positives + figures.true_negatives
        yield (
            f"{name:<{width}} {figures.hits:>6,} {_percent(figures.precision):>10} "
            f"{_percent(figures.recall):>7}  {figures.false_positives:,} of {clean:,}"
        )
    for name, figures in named.items():
        yield from _samples(f"Wrongly hit by {name}", figures.false_positive_samples)
    yield from _samples(
        "Missed by the whole set", evaluation.whole.false_negative_samples
    )
    if evaluation.unchecked:
        yield f"\n{evaluation.unchecked:,} texts were not checked, and count nowhere above:"
        for reason, count in reasons_of(evaluation)[:5]:
            yield f"  {count:,} of them: {reason}"


def _samples(title: str, samples: list[Sample]) -> Iterator[str]:
    if samples:
        yield f"\n{title}:"
    for sample in samples:
        short = " ".join(sample.text.split())
        short = short if len(short) <= _SHOWN else f"{short[: _SHOWN - 1]}…"
        said = f"  ({sample.said})" if sample.said else ""
        yield f"  {sample.file}:{sample.line}: {short}{said}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
