"""What a check must know beside the text: whose message it is, and what models said of it."""

from collections.abc import Mapping
from typing import Literal

import msgspec

Direction = Literal["input", "output"]


class ScoreError(msgspec.Struct, frozen=True):
    """Why there is no score: the scorer was away, took too long, or said something that is none."""

    reason: str


class Score(msgspec.Struct, frozen=True):
    """A number, and what it is owed to: an example or a reason, and a place of the text in code points."""

    number: float
    because: str = ""
    start: int = 0
    end: int = 0


AnyScore = float | Score | ScoreError


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Which rules cover a text, and the numbers that come from outside of the engine.

    scores: each name of `Engine.needs` with a number, or with what went wrong. Whatever is missing,
    wrong or no finite number holds the text, if an enforced rule reads it.
    confidence: how sure the model was of its answer, 0 to 1, where it says so.
    trace_id: decides whether a canary acts on this text.
    """

    direction: Direction
    tier: str
    workflow: str
    trace_id: str = ""
    scores: Mapping[str, AnyScore] = {}
    confidence: float | None = None


def topic_score(rule_id: str) -> str:
    """The score of a rule of the kind topic: how like its examples the text is, -1 to 1."""
    return f"topic:{rule_id}"


def judge_score(rule_id: str) -> str:
    """The score of a rule of the kind judge: how sure the model is that the text breaks it, 0 to 1."""
    return f"judge:{rule_id}"


def without_places(scores: Mapping[str, AnyScore]) -> dict[str, AnyScore]:
    """Return scores of another text than the one that is judged by them."""
    return {
        name: Score(score.number, score.because) if isinstance(score, Score) else score
        for name, score in scores.items()
    }
