"""How a sink's work is carried out: in batches on the loop."""

import asyncio
import time
from collections import deque

import structlog

from agents.execution import Desk, RevokedError, patiently
from agents.metrics import HANDLE_SECONDS
from agents.work import Work

log = structlog.get_logger()


class BatchExecutor:
    """Runs a sink: one batch at a time on the loop, tried until PostgreSQL takes it."""

    def __init__(self, desk: Desk, loop: asyncio.AbstractEventLoop) -> None:
        self.held = ""
        self._desk = desk
        self._loop = loop
        self._waiting: deque[Work] = deque()
        self._task: asyncio.Task[None] | None = None
        self._seconds = HANDLE_SECONDS.labels(desk.agent.name)

    @property
    def size(self) -> int:
        return len(self._waiting)

    def add(self, works: list[Work]) -> None:
        self._waiting.extend(works)
        self._loop.call_soon_threadsafe(self._start)

    def advance(self) -> None:
        if self._waiting and self._task is None:
            self._loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        if self._task is None and self._waiting and not self._is_held(self._waiting[0]):
            self._task = self._loop.create_task(self._run())
            self._task.add_done_callback(self._ended)

    def _is_held(self, work: Work) -> bool:
        self.held = "" if work.ledger.revoked else self._desk.why_not(work)
        return bool(self.held)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and task.exception() is not None:
            log.error("executor_failed", exc_info=task.exception())
        self._start()

    async def _run(self) -> None:
        batch = self._take()
        if not batch:
            return
        started = time.perf_counter()
        try:
            await self._handle(batch)
        except RevokedError:
            return
        except Exception as error:  # find the record that it is about
            await self._one_by_one(batch, error)
        else:
            self._done(batch)
        self._seconds.observe(time.perf_counter() - started)

    def _take(self) -> list[Work]:
        """Take what may start; what cannot be read is a dead letter, in its turn."""
        batch: list[Work] = []
        while (
            self._waiting
            and len(batch) < self._desk.agent.batch_size
            and not self._is_held(self._waiting[0])
        ):
            work = self._waiting.popleft()
            if work.ledger.revoked:
                continue
            work.start()
            if work.problem is None:
                batch.append(work)
            else:
                self._desk.failed(work, work.problem, 1)
        return batch

    async def _one_by_one(self, batch: list[Work], error: Exception) -> None:
        if len(batch) == 1:
            self._desk.failed(batch[0], error, 1)
            return
        for number, work in enumerate(batch):
            if self._is_held(work):  # too many failed: the rest goes back
                self._put_back(batch[number:])
                return
            try:
                await self._handle([work])
            except RevokedError:
                continue
            except Exception as cause:  # whatever a sink raises is a dead letter
                self._desk.failed(work, cause, 2)
            else:
                self._done([work])

    def _put_back(self, works: list[Work]) -> None:
        for work in reversed(works):
            work.rest()
            self._waiting.appendleft(work)

    def _done(self, batch: list[Work]) -> None:
        for work in batch:
            self._desk.succeeded(work, ())

    async def _handle(self, batch: list[Work]) -> None:
        def away(reason: str) -> None:
            self.held = reason
            for work in batch:
                work.rest()

        await patiently(lambda: self._try(batch), away)
        self.held = ""

    async def _try(self, batch: list[Work]) -> None:
        if all(work.ledger.revoked for work in batch):
            raise RevokedError
        for work in batch:
            work.start()
        agent = self._desk.agent
        if agent.handle_records is not None:
            await agent.handle_records([work.record for work in batch])
        else:
            assert agent.handle_batch is not None
            await agent.handle_batch([work.read() for work in batch])
