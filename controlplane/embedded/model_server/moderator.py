"""Scores texts for what a moderator looks for: learnt at start from lessons, by meaning and by swearwords.

Each sentence of a text is seen in two spellings, and the worst of them counts.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from profanity_check import predict_prob  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from controlplane.embedded.model_server.minilm import MiniLM
from guardrails.pieces import as_meant, pieces

# Of which lessons each category is learnt.
CATEGORIES = {
    "toxicity": {"harassment", "hate", "violence"},
    "harassment": {"harassment"},
    "hate": {"hate"},
    "violence": {"violence"},
    "sexual": {"sexual"},
    "self-harm": {"self-harm"},
}
LESSONS = Path(__file__).parent / "lessons.tsv"
Scores = Mapping[str, float]
Features = NDArray[np.float64]


class Moderator:
    """Is for one thread at a time."""

    def __init__(self, model: MiniLM) -> None:
        self._model = model
        lines = LESSONS.read_text(encoding="utf-8").splitlines()
        lessons = [line.partition("\t") for line in lines]
        seen = self._features([text for _, _, text in lessons])
        self._learnt = {
            category: _learn(seen, [label in labels for label, _, _ in lessons])
            for category, labels in CATEGORIES.items()
        }

    def score(self, texts: Sequence[str]) -> list[Scores]:
        """Return how likely each category is, for each text."""
        seen = [spellings(text) for text in texts]
        flat = [spelling for each in seen for spelling in each]
        features = self._features(flat)
        columns = {
            category: learnt.predict_proba(features)[:, 1]
            for category, learnt in self._learnt.items()
        }
        ends = np.cumsum([len(each) for each in seen])
        return [
            {
                category: float(column[end - len(each) : end].max())
                for category, column in columns.items()
            }
            for each, end in zip(seen, ends, strict=True)
        ]

    def _features(self, texts: Sequence[str]) -> Features:
        swearing = predict_prob(list(texts))[:, None]
        return np.concatenate([self._model.embed(texts), swearing], axis=1)


def spellings(text: str) -> list[str]:
    """Return the sentences of a text, each as it is written and as it is meant to be read."""
    plain = unicodedata.normalize("NFKC", text)
    sentences = [plain[start:end] for start, end in pieces(plain)] or [""]
    forms = (form for each in sentences for form in (each, as_meant(each)))
    return list(dict.fromkeys(forms))


def _learn(features: Features, labels: Sequence[bool]) -> LogisticRegression:
    learnt = LogisticRegression(C=10.0, class_weight="balanced", max_iter=1_000)
    return learnt.fit(features, labels)
