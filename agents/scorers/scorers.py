"""Gets the scores that an engine needs for a text, all at once."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import structlog

from agents.backends import Backends
from agents.metrics import SCORES
from agents.scorers.embeddings import Embedder
from agents.scorers.endpoints import Line, NoScoreError
from agents.scorers.judge import Judge
from agents.scorers.moderation import Categories, Moderation
from agents.scorers.settings import ScorerSettings
from agents.scorers.topics import Topics
from guardrails.context import (
    AnyScore,
    Score,
    ScoreError,
    judge_score,
    topic_score,
    without_places,
)
from guardrails.masking import Masker, MaskingError
from guardrails.rules import Rule

log = structlog.get_logger()

JUDGES_AT_ONCE = 16

Scores = Mapping[str, AnyScore]


class Scorers:
    """Models never see personal data. Belongs to the loop on which it is made, and is closed there."""

    def __init__(self, settings: ScorerSettings, masker: Masker) -> None:
        self._masker = masker
        self._backends = Backends()
        embeddings = Line(settings.embeddings, self._backends)
        embedder = Embedder(embeddings, dimensions=settings.dimensions)
        self._topics = Topics(embedder)
        self._moderation = Moderation(Line(settings.moderation, self._backends))
        self._judge = Judge(Line(settings.judge, self._backends))
        self._judges = asyncio.Semaphore(JUDGES_AT_ONCE)

    async def close(self) -> None:
        await self._backends.close()

    async def prepare(self, rules: Iterable[Rule]) -> None:
        """Embed the examples of a rule-set before the first text comes. What fails is asked again by it."""
        topics = [rule for rule in rules if rule.kind == "topic"]
        try:
            await self._topics.prepare(topics)
        except NoScoreError as error:
            log.warning("examples_not_embedded", reason=str(error))

    async def scores(
        self, text: str, names: Iterable[str], rules: Sequence[Rule]
    ) -> Scores:
        """Return each name with its score, or with what went wrong. rules: those that names are of."""
        try:
            shown = self._masker.hide(text)
        except MaskingError as error:
            return dict.fromkeys(names, ScoreError(f"not shown to a model: {error}"))
        found = await self._of_shown(shown, frozenset(names), rules)
        return found if shown == text else without_places(found)

    async def _of_shown(
        self, text: str, wanted: frozenset[str], rules: Sequence[Rule]
    ) -> Scores:
        topics = [rule for rule in rules if topic_score(rule.id) in wanted]
        judges = [rule for rule in rules if judge_score(rule.id) in wanted]
        of_rules = {topic_score(rule.id) for rule in topics}
        of_rules |= {judge_score(rule.id) for rule in judges}
        found = await asyncio.gather(
            self._of_topics(text, topics),
            self._of_categories(text, wanted - of_rules),
            *(self._of_judge(text, rule) for rule in judges),
        )
        return {name: score for scores in found for name, score in scores.items()}

    async def _of_topics(self, text: str, rules: Sequence[Rule]) -> Scores:
        names = [topic_score(rule.id) for rule in rules]
        if not rules:
            return {}
        try:
            found = await self._topics.likeness(text, rules)
        except NoScoreError as error:
            return _none("embeddings", names, error)
        SCORES.labels("embeddings", "ok").inc()
        return dict(zip(names, found, strict=True))

    async def _of_categories(self, text: str, names: Iterable[str]) -> Scores:
        wanted = sorted(names)
        if not wanted:
            return {}
        try:
            found = await self._moderation.categories(text)
        except NoScoreError as error:
            return _none("moderation", wanted, error)
        SCORES.labels("moderation", "ok").inc()
        return {name: self._of_category(found, name) for name in wanted}

    def _of_category(self, found: Categories, name: str) -> float | ScoreError:
        try:
            return self._moderation.score(found, name)
        except NoScoreError as error:
            return ScoreError(str(error))

    async def _of_judge(self, text: str, rule: Rule) -> Scores:
        name = judge_score(rule.id)
        try:
            async with self._judges:
                judgement = await self._judge.judge(rule.instruction, text)
        except NoScoreError as error:
            return _none("judge", [name], error)
        SCORES.labels("judge", "ok").inc()
        return {name: Score(judgement.breaks, judgement.because, 0, len(text))}


def _none(scorer: str, names: Iterable[str], error: NoScoreError) -> Scores:
    SCORES.labels(scorer, "failed").inc()
    log.warning("no_score", scorer=scorer, reason=str(error))
    return dict.fromkeys(names, ScoreError(str(error)))
