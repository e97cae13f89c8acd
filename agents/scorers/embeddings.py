"""Unit vectors of texts, by `/embeddings` of the OpenAI API."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.scorers.batches import Batches
from agents.scorers.endpoints import Line

Vector = NDArray[np.float32]


class _Embedding(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Embedding]


_ANSWER = msgspec.json.Decoder(_Answer)


class Embedder:
    """Embeds all texts that wait at the moment in one request. For one loop."""

    def __init__(self, line: Line, *, dimensions: int) -> None:
        self._line = line
        self._dimensions = dimensions
        self._batches = Batches(self._ask)

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return a unit vector for each text. NoScoreError says why there are none."""
        return await self._batches.get(texts)

    async def _ask(self, texts: Sequence[str]) -> list[Vector]:
        question = {"input": list(texts), "encoding_format": "float"}
        answer = await self._line.ask("embeddings", question, _ANSWER)
        found = {each.index: each.embedding for each in answer.data}
        if set(found) != set(range(len(texts))):
            told = f"answered with {len(answer.data)} vectors for {len(texts)} texts"
            raise self._line.no_score(told)
        return [self._unit(found[number]) for number in range(len(texts))]

    def _unit(self, numbers: list[float]) -> Vector:
        if len(numbers) != self._dimensions:
            told = f"answered with {len(numbers)} dimensions, not {self._dimensions}"
            raise self._line.no_score(told)
        length = math.hypot(*numbers)
        if not (math.isfinite(length) and length > 0):
            raise self._line.no_score("answered with a vector that has no direction")
        return (np.array(numbers) / length).astype(np.float32)
