"""Category scores of texts, by `/moderations` of the OpenAI API."""

import math
import re
from collections.abc import Mapping, Sequence

import msgspec

from agents.scorers.batches import Batches
from agents.scorers.endpoints import Line

TOXICITY = "toxicity"
# What it is where the endpoint has no category of that name: the highest of these.
TOXIC = ("harassment", "hate", "violence")


class _Result(msgspec.Struct):
    category_scores: dict[str, float | None]


class _Answer(msgspec.Struct):
    results: list[_Result]


_ANSWER = msgspec.json.Decoder(_Answer)

Categories = Mapping[str, float | None]


class Moderation:
    """Scores all texts that wait at the moment in one request. For one loop."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._batches = Batches(self._ask)

    async def categories(self, text: str) -> Categories:
        [found] = await self._batches.get([text])
        return found

    def score(self, found: Categories, name: str) -> float:
        """Return the number of a category, whose name may have other signs. NoScoreError where there is none."""
        if name == TOXICITY and name not in found:
            return max(self._number(found, part) for part in TOXIC)
        return self._number(found, name)

    def _number(self, found: Categories, name: str) -> float:
        number = found.get(name)
        if number is None:
            raise self._line.no_score(f"gave no score for “{name}”")
        if not (math.isfinite(number) and 0 <= number <= 1):
            told = f"gave {number} for “{name}”, which is not from 0 to 1"
            raise self._line.no_score(told)
        return number

    async def _ask(self, texts: Sequence[str]) -> list[Categories]:
        question = {"input": list(texts)}
        answer = await self._line.ask("moderations", question, _ANSWER)
        if len(answer.results) != len(texts):
            told = f"answered with {len(answer.results)} results for {len(texts)} texts"
            raise self._line.no_score(told)
        return [_named(result.category_scores) for result in answer.results]


def _named(categories: Categories) -> Categories:
    """As rules can name them: self-harm/intent is self_harm_intent."""
    return {re.sub(r"\W", "_", name): score for name, score in categories.items()}
