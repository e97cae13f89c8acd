"""Checks for pages and commands: with scores, where the rules need some."""

from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings

from agents.checking import needs_scores
from agents.scorers.settings import ScorerSettings
from guardrails.context import Context
from guardrails.engine import Engine
from guardrails.masking import masker_of
from guardrails.rules import Rule
from guardrails.verdicts import Verdict

if TYPE_CHECKING:
    from agents.scorers.blocking import BlockingScorers, Scoring
    from agents.scorers.scorers import Scorers

T = TypeVar("T")


def check(engine: Engine, text: str, about: Context) -> Verdict:
    """Judge by all rules, as the guards do. It may take as long as the scorers may."""
    if not needs_scores(engine, about):
        return engine.check(text, about)
    return _scorers(settings.SCORERS).check(engine, text, about)


def scoring(rules: Sequence[Rule]) -> "Scoring":
    """Return what gets scores for the cases of rules, each of a text once."""
    return _scorers(settings.SCORERS).scoring(rules)


def begin(work: "Callable[[Scorers], Coroutine[Any, Any, T]]") -> "Future[T]":
    """Begin a long piece of work with the scorers, beside the caller."""
    return _scorers(settings.SCORERS).begin(work)


@lru_cache(maxsize=1)
def _scorers(given: ScorerSettings) -> "BlockingScorers":
    """Its imports take half a second, which most commands have no use for."""
    from agents.scorers.blocking import BlockingScorers  # noqa: PLC0415

    return BlockingScorers(given, masker_of(settings.MASKING))
