"""Checks with scores for callers that have no event loop: pages and commands."""

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from agents.checking import check
from agents.scorers.scorers import Scorers
from agents.scorers.settings import ScorerSettings
from guardrails.context import AnyScore, Context
from guardrails.engine import Engine
from guardrails.masking import Masker
from guardrails.rules import Rule
from guardrails.verdicts import Verdict

T = TypeVar("T")
Scoring = Callable[[str, frozenset[str]], dict[str, AnyScore]]


class BlockingScorers:
    """Has a loop in a thread of its own, and keeps the vectors of examples. For all threads."""

    def __init__(self, settings: ScorerSettings, masker: Masker) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="scorers", daemon=True
        )
        self._thread.start()
        self._scorers = self._await(_made(settings, masker))
        atexit.register(self.close)

    def check(self, engine: Engine, text: str, about: Context) -> Verdict:
        return self._await(check(engine, self._scorers, text, about))

    def scoring(self, rules: Sequence[Rule]) -> Scoring:
        """Return what gets scores by their names, each of a text once: for one run over many rules."""
        known: dict[str, dict[str, AnyScore]] = {}

        def score(text: str, names: frozenset[str]) -> dict[str, AnyScore]:
            of_text = known.setdefault(text, {})
            if missing := names - of_text.keys():
                asked = self._scorers.scores(text, missing, rules)
                of_text.update(self._await(asked))
            return {name: of_text[name] for name in names}

        return score

    def begin(self, work: "Callable[[Scorers], Coroutine[Any, Any, T]]") -> "Future[T]":
        """Begin work on the loop, of which the caller need not wait for the end: it may cancel it."""
        return asyncio.run_coroutine_threadsafe(work(self._scorers), self._loop)

    def close(self) -> None:
        atexit.unregister(self.close)
        self._await(self._scorers.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _await(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


async def _made(settings: ScorerSettings, masker: Masker) -> Scorers:
    """Made on the loop that it belongs to."""
    return Scorers(settings, masker)
