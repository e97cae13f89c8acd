"""How work is carried out: at once in the poll thread, per key on the loop, or in batches."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

import structlog
from tenacity import (
    AsyncRetrying,
    Retrying,
    retry_if_exception_type,
    retry_if_not_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from agents.agent import Agent, Context, Send, UnavailableError
from agents.metrics import HANDLE_SECONDS
from agents.work import Work

log = structlog.get_logger()

RECHECK_S = 0.1
ROUND_S = 0.5  # the poll thread must poll again

T = TypeVar("T")


class Desk(Protocol):
    """What an executor needs of its runner."""

    agent: Agent

    def context(self) -> Context: ...
    def why_not(self, work: Work) -> str: ...
    def succeeded(self, work: Work, sends: Iterable[Send]) -> None: ...
    def failed(self, work: Work, error: Exception, attempts: int) -> None: ...


class Executor(Protocol):
    """held says why waiting work does not start; size counts what is taken and not begun."""

    held: str

    @property
    def size(self) -> int: ...
    def add(self, works: list[Work]) -> None: ...
    def advance(self) -> None: ...


class InlineExecutor:
    """Runs pure handlers in the poll thread, in the order of the log."""

    def __init__(self, desk: Desk) -> None:
        self.held = ""
        self._desk = desk
        self._waiting: deque[Work] = deque()
        agent = desk.agent
        assert agent.handle is not None
        self._handle = agent.handle
        self._seconds = HANDLE_SECONDS.labels(agent.name)
        self._retrying = Retrying(
            stop=stop_after_attempt(agent.attempts),
            wait=wait_exponential_jitter(initial=0.02, max=0.2, jitter=0.02),
            reraise=True,
        )

    @property
    def size(self) -> int:
        return len(self._waiting)

    def add(self, works: list[Work]) -> None:
        self._waiting.extend(works)

    def advance(self) -> None:
        deadline_s = time.monotonic() + ROUND_S
        while self._waiting and time.monotonic() < deadline_s:
            work = self._waiting[0]
            self.held = "" if work.ledger.revoked else self._desk.why_not(work)
            if self.held:
                return
            self._waiting.popleft()
            if not work.ledger.revoked:
                self._run(work)
        self.held = ""

    def _run(self, work: Work) -> None:
        work.start()
        started = time.perf_counter()
        try:
            sends = self._attempt(work)
        except Exception as error:  # whatever a handler raises is a dead letter
            self._desk.failed(work, error, self._desk.agent.attempts)
        else:
            self._desk.succeeded(work, sends)
        self._seconds.observe(time.perf_counter() - started)

    def _attempt(self, work: Work) -> list[Send]:
        assert work.event is not None
        try:
            return list(self._handle(work.event, self._desk.context()))
        except Exception:
            return self._retrying(
                lambda: list(self._handle(work.event, self._desk.context()))  # type: ignore[arg-type]
            )


class KeyedExecutor:
    """Runs async handlers on the loop: in order per key, out of order across keys."""

    def __init__(self, desk: Desk, loop: asyncio.AbstractEventLoop) -> None:
        self.held = ""
        self._desk = desk
        self._loop = loop
        self._queues: dict[bytes, deque[Work]] = {}
        self._ready: deque[bytes] = deque()
        self._waiting = 0
        self._running: set[asyncio.Task[None]] = set()
        self._seconds = HANDLE_SECONDS.labels(desk.agent.name)
        self._recheck: asyncio.TimerHandle | None = None

    @property
    def size(self) -> int:
        return self._waiting

    def add(self, works: list[Work]) -> None:
        self._waiting += len(works)
        self._loop.call_soon_threadsafe(self._enqueue, works)

    def advance(self) -> None:
        """Nothing to do: the loop starts work by itself."""

    def _enqueue(self, works: list[Work]) -> None:
        for work in works:
            queue = self._queues.get(work.key)
            if queue is None:
                self._queues[work.key] = deque([work])
                self._ready.append(work.key)
            else:
                queue.append(work)
        self._start()

    def _start(self) -> None:
        """Start what may start; look again soon at what is held."""
        held: list[bytes] = []
        reason = ""
        while self._ready and len(self._running) < self._desk.agent.concurrency:
            key = self._ready.popleft()
            work = self._queues[key][0]
            why = "" if work.ledger.revoked else self._desk.why_not(work)
            if why:
                held.append(key)
                reason = why
                continue
            self._begin(key)
        self.held = reason
        self._ready.extend(held)
        if held and self._recheck is None:
            self._recheck = self._loop.call_later(RECHECK_S, self._look_again)

    def _look_again(self) -> None:
        self._recheck = None
        self._start()

    def _begin(self, key: bytes) -> None:
        work = self._queues[key].popleft()
        self._waiting -= 1
        task = self._loop.create_task(self._run(work))
        self._running.add(task)
        task.add_done_callback(lambda done: self._ended(key, done))

    def _ended(self, key: bytes, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._queues[key]:
            self._ready.append(key)
        else:
            del self._queues[key]
        if not task.cancelled() and task.exception() is not None:
            log.error("executor_failed", exc_info=task.exception())
        self._start()

    async def _run(self, work: Work) -> None:
        if work.ledger.revoked:
            return
        work.start()
        started = time.perf_counter()
        try:
            sends = await self._attempts(work)
        except Exception as error:  # whatever a handler raises is a dead letter
            self._desk.failed(work, error, self._desk.agent.attempts)
        else:
            self._desk.succeeded(work, sends)
        self._seconds.observe(time.perf_counter() - started)

    async def _attempts(self, work: Work) -> list[Send]:
        """Try again for ever while something is away, a few times after other failures."""
        bounded = AsyncRetrying(
            retry=retry_if_not_exception_type(UnavailableError),
            stop=stop_after_attempt(self._desk.agent.attempts),
            wait=wait_exponential_jitter(initial=0.1, max=2.0),
            reraise=True,
        )
        return await patiently(lambda: bounded(self._collect, work), self._away)

    def _away(self, reason: str) -> None:
        self.held = reason

    async def _collect(self, work: Work) -> list[Send]:
        handle, event = self._desk.agent.handle_async, work.event
        assert handle is not None
        assert event is not None
        return [send async for send in handle(event, self._desk.context())]


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
        if self._task is None and self._waiting and not self._is_held():
            self._task = self._loop.create_task(self._run())
            self._task.add_done_callback(self._ended)

    def _is_held(self) -> bool:
        self.held = self._desk.why_not(self._waiting[0])
        return bool(self.held)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and task.exception() is not None:
            log.error("executor_failed", exc_info=task.exception())
        self._start()

    async def _run(self) -> None:
        count = min(len(self._waiting), self._desk.agent.batch_size)
        taken = [self._waiting.popleft() for _ in range(count)]
        batch = [work for work in taken if not work.ledger.revoked]
        if not batch:
            return
        for work in batch:
            work.start()
        started = time.perf_counter()
        try:
            await self._handle(batch)
        except Exception as error:  # find the record that it is about
            await self._one_by_one(batch, error)
        else:
            self._done(batch)
        self._seconds.observe(time.perf_counter() - started)

    async def _one_by_one(self, batch: list[Work], error: Exception) -> None:
        if len(batch) == 1:
            self._desk.failed(batch[0], error, 1)
            return
        for work in batch:
            try:
                await self._handle([work])
            except Exception as cause:  # whatever a sink raises is a dead letter
                self._desk.failed(work, cause, 2)
            else:
                self._done([work])

    def _done(self, batch: list[Work]) -> None:
        for work in batch:
            self._desk.succeeded(work, ())

    async def _handle(self, batch: list[Work]) -> None:
        agent = self._desk.agent
        if agent.handle_records is not None:
            records = [work.record for work in batch]
            handler = agent.handle_records
            await patiently(lambda: handler(records), self._away)
        else:
            events = [work.event for work in batch if work.event is not None]
            assert agent.handle_batch is not None
            batch_handler = agent.handle_batch
            await patiently(lambda: batch_handler(events), self._away)
        self.held = ""

    def _away(self, reason: str) -> None:
        self.held = reason


async def patiently(
    call: Callable[[], Awaitable[T]], away: Callable[[str], None] = lambda _: None
) -> T:
    """Await call() until nothing it needs is away; tell each time what is."""
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(UnavailableError),
        wait=wait_exponential_jitter(initial=0.1, max=2.0),
        before_sleep=lambda state: away(
            str(state.outcome and state.outcome.exception())
        ),
        reraise=True,
    )

    async def attempt() -> T:
        return await call()

    return await retrying(attempt)
