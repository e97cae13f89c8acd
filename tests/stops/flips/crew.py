"""Deliverers: each settles one batch of answers after the other, through the gate, as fast as it can or evenly."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from tenacity import AsyncRetrying, retry_if_exception_type, wait_fixed

from agents.agent import UnavailableError
from agents.postgres import Database
from controlplane.chat.turns import Fact
from tests.chat.making import commit, opened, reply
from tests.loop_thread import LoopThread

BATCH = 4  # conversations of each deliverer
KINDS = ("reply", "refusal", "fallback")
AGAIN_S = 0.1


class Crew:
    """So many deliverers on one event loop, each with a connection of its own."""

    def __init__(
        self, database: Database, *, size: int, name: str, every_s: float
    ) -> None:
        """every_s: when each begins its next batch; 0: when it is done with the one before."""
        self.rounds = [0] * size
        self._every_s = every_s
        self._database = database
        self._name = name
        self._is_over = False

    @property
    def given(self) -> frozenset[str]:
        """Return the turns that were settled."""
        return frozenset(
            _turn(name, number)
            for deliverer, rounds in enumerate(self.rounds)
            for name in self._conversations(deliverer)
            for number in range(rounds)
        )

    def end(self) -> None:
        self._is_over = True

    async def deliver(self, deliverer: int) -> None:
        for number in count():
            if self._is_over:
                break
            began_s = time.monotonic()
            await self._settle(deliverer, number)
            self.rounds[deliverer] += 1
            await asyncio.sleep(self._every_s - (time.monotonic() - began_s))

    async def _settle(self, deliverer: int, number: int) -> None:
        """Try again while PostgreSQL is away, as a runner does."""
        facts = [
            fact
            for name in self._conversations(deliverer)
            for fact in _question_and_answer(name, number)
        ]
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(UnavailableError), wait=wait_fixed(AGAIN_S)
        ):
            with attempt:
                await commit(self._database, *facts)

    def _conversations(self, deliverer: int) -> list[str]:
        return [f"{self._name}-{deliverer}-{number}" for number in range(BATCH)]


def _turn(conversation: str, number: int) -> str:
    return f"{conversation}-{number}"


def _question_and_answer(conversation: str, number: int) -> tuple[Fact, Fact]:
    turn, kind = _turn(conversation, number), KINDS[number % len(KINDS)]
    return opened(turn, conversation), reply(turn, conversation, text_kind=kind)


@contextmanager
def at_work(
    database: Database, *, size: int, name: str = "c", every_s: float = 0
) -> Iterator[Crew]:
    """Have them deliver all the while. What one of them failed with is raised at the end."""
    crew = Crew(database, size=size, name=name, every_s=every_s)
    loop = LoopThread()
    try:
        loop.run(database.open())
        busy = [loop.start(crew.deliver(number)) for number in range(size)]
        try:
            yield crew
        finally:
            crew.end()
            for each in busy:
                each.result(60)
    finally:
        loop.run(database.close())
        loop.close()
