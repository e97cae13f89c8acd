"""How like a rule's examples a text is: cosines between its sentences and each of them."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np

from agents.scorers.embeddings import Embedder, Vector
from agents.scorers.endpoints import NoScoreError
from guardrails.context import Score
from guardrails.pieces import readings
from guardrails.rules import Rule

Span = tuple[int, int]

MAX_READINGS = 256  # of one text; more of them are no message
KEPT = 8_192  # vectors of examples


class Topics:
    """Keeps the vectors of examples, so that no message waits for them. For one loop."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._kept: OrderedDict[str, Vector] = OrderedDict()

    async def prepare(self, rules: Iterable[Rule]) -> None:
        """Embed all examples. NoScoreError if the endpoint does not; then the first message asks again."""
        texts = [text for rule in rules for text in _examples(rule)]
        await self._vectors(list(dict.fromkeys(texts)))

    async def likeness(self, text: str, rules: Sequence[Rule]) -> list[Score]:
        """Return for each rule what of the text is nearest to which of its examples."""
        seen = readings(text)
        if len(seen) > MAX_READINGS:
            raise NoScoreError(f"the text has over {MAX_READINGS} sentences")
        if not seen:
            return [Score(-1.0) for _ in rules]
        vectors, *known = await asyncio.gather(
            self._embedder.embed([reading.text for reading in seen]),
            *(self._vectors(_examples(rule)) for rule in rules),
        )
        matrix = np.array(vectors)
        spans = [(reading.start, reading.end) for reading in seen]
        return [
            _nearest(rule, matrix @ np.array(examples).T, spans)
            for rule, examples in zip(rules, known, strict=True)
        ]

    async def _vectors(self, texts: Sequence[str]) -> list[Vector]:
        missing = [text for text in texts if text not in self._kept]
        if missing:
            vectors = await self._embedder.embed(missing)
            self._kept.update(zip(missing, vectors, strict=True))
        found = [self._kept[text] for text in texts]
        for text in texts:
            self._kept.move_to_end(text)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found


def _examples(rule: Rule) -> list[str]:
    return [*rule.examples, *rule.counter_examples]


def _nearest(rule: Rule, likeness: Vector, spans: Sequence[Span]) -> Score:
    """Of a sentence that is nearer to a counter-example than to any example, nothing is like.

    The likest sentence counts; with an allow-list the least like, since one that may pass lets no other pass.
    """
    likeness = likeness.clip(-1.0, 1.0)  # rounding leaves a text a little over itself
    of_topic = likeness[:, : len(rule.examples)]
    counts = of_topic.max(axis=1)
    if rule.counter_examples:
        excused = likeness[:, len(rule.examples) :].max(axis=1) >= counts
        counts = np.where(excused, 0.0, counts)
    place = _least(counts, spans) if rule.is_allow_list else int(counts.argmax())
    start, end = spans[place]
    example = rule.examples[int(of_topic[place].argmax())]
    return Score(float(counts[place]), example, start, end)


def _least(counts: Vector, spans: Sequence[Span]) -> int:
    """Of the sentences the least like, each by its likest reading. A text as a whole is no sentence, if it has several."""
    whole = spans[0][0], spans[-1][1]
    best: dict[Span, int] = {}
    for place in counts.argsort():
        best[spans[place]] = int(place)
    if len(best) > 1:
        best.pop(whole, None)
    return min(best.values(), key=lambda place: float(counts[place]))
