"""Gathers what many wait for at the same moment into one request."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

# Of a request: a slow endpoint must be done within its time.
MOST = 16
MOST_CHARACTERS = 20_000  # unless one text alone has more

T = TypeVar("T")

Answer = Callable[[Sequence[str]], Awaitable[Sequence[T]]]


class NotTakenError(Exception):
    """A request was refused; of several texts it may have been one's fault."""


class Batches(Generic[T]):
    """Asks for all texts that came while the request before was under way. For one loop.

    Whoever waits for a text waits for the same request.
    """

    def __init__(self, answer: Answer[T]) -> None:
        """answer: gives one thing for each text, in their order."""
        self._answer = answer
        self._waiting: dict[str, asyncio.Future[T]] = {}
        self._task: asyncio.Task[None] | None = None

    async def get(self, texts: Sequence[str]) -> list[T]:
        """Return what the answer gives for each text. A failure is of all who were in the request."""
        futures = [self._future(text) for text in texts]
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        # Shielded: another may wait for the same text.
        return list(await asyncio.gather(*map(asyncio.shield, futures)))

    def _future(self, text: str) -> "asyncio.Future[T]":
        if text not in self._waiting:
            future = asyncio.get_running_loop().create_future()
            future.add_done_callback(_look_at_failure)
            self._waiting[text] = future
        return self._waiting[text]

    async def _work(self) -> None:
        while self._waiting:
            await self._ask({text: self._waiting.pop(text) for text in self._next()})

    def _next(self) -> list[str]:
        texts: list[str] = []
        size = 0
        for text in self._waiting:
            size += len(text)
            if texts and (size > MOST_CHARACTERS or len(texts) == MOST):
                break
            texts.append(text)
        return texts

    async def _ask(self, batch: "dict[str, asyncio.Future[T]]") -> None:
        try:
            answers = await self._answer(list(batch))
        except NotTakenError as error:
            await self._ask_one_by_one(batch, error)
        except Exception as error:  # whoever waits for it gets it
            for future in batch.values():
                future.set_exception(error)
        else:
            for future, answer in zip(batch.values(), answers, strict=True):
                future.set_result(answer)

    async def _ask_one_by_one(
        self, batch: "dict[str, asyncio.Future[T]]", error: NotTakenError
    ) -> None:
        if len(batch) == 1:
            next(iter(batch.values())).set_exception(error)
            return
        for text, future in batch.items():
            await self._ask({text: future})


def _look_at_failure(future: "asyncio.Future[T]") -> None:
    """Whoever waited may have given up; then nobody else looks."""
    if not future.cancelled():
        future.exception()
