"""How work is carried out: at once in the poll thread, or per key on the loop."""

import asyncio
import threading
import time
from collections import Counter, deque
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
from agents.retries import retried
from agents.work import UnreadableError, Work

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

    @property
    def held(self) -> str: ...
    @property
    def size(self) -> int: ...
    def add(self, works: list[Work]) -> None: ...
    def advance(self) -> None: ...


class RevokedError(Exception):
    """The partition went to another consumer, which does the work."""


class InlineExecutor:
    """Runs pure handlers in the poll thread, in the order of the log.

    aside: takes what the agent says must wait for others, and what comes behind it with its key.
    """

    def __init__(self, desk: Desk, aside: "KeyedExecutor | None" = None) -> None:
        self._held = ""
        self._desk = desk
        self._aside = aside
        self._put_aside: dict[bytes, list[Work]] = {}
        self._waiting: deque[Work] = deque()
        agent = desk.agent
        assert agent.handle is not None
        self._handle = agent.handle
        self._seconds = HANDLE_SECONDS.labels(agent.name)
        self._retrying = Retrying(
            retry=retry_if_not_exception_type(UnavailableError),
            stop=stop_after_attempt(agent.attempts - 1),
            wait=wait_exponential_jitter(multiplier=0.02, max=0.2, jitter=0.02),
            reraise=True,
        )

    @property
    def held(self) -> str:
        return self._held or (self._aside.held if self._aside else "")

    @property
    def size(self) -> int:
        return len(self._waiting) + (self._aside.size if self._aside else 0)

    def add(self, works: list[Work]) -> None:
        self._waiting.extend(works)

    def pass_on(self) -> None:
        """Start what was put aside, now that what stood before it has been sent."""
        if self._aside is not None and self._put_aside:
            self._aside.add(
                [work for of_key in self._put_aside.values() for work in of_key]
            )
            self._put_aside.clear()

    def advance(self) -> None:
        """Run what may run. What is held lets other keys pass, never its own."""
        deadline_s = time.monotonic() + ROUND_S
        held: deque[Work] = deque()
        reasons: dict[bytes, str] = {}
        while self._waiting and time.monotonic() < deadline_s:
            work = self._waiting.popleft()
            if work.ledger.revoked:
                continue
            why = reasons.get(work.key) or self._desk.why_not(work) or self._do(work)
            if why:
                reasons[work.key] = why
                held.append(work)
        self._waiting = held + self._waiting
        self._held = next(iter(reasons.values()), "")

    def _do(self, work: Work) -> str:
        """Return what is away, if that is why the work is not done."""
        context = self._desk.context()  # one: of other rules it might have to wait
        try:
            goes_aside = self._goes_aside(work, context)
        except Exception as error:  # as what a handler raises
            self._desk.failed(work, error, 1)
            return ""
        if not goes_aside:
            return self._run(work, context)
        self._put_aside.setdefault(work.key, []).append(work)
        return ""

    def _goes_aside(self, work: Work, context: Context) -> bool:
        if self._aside is None or work.event is None:
            return False
        if work.key in self._put_aside or self._aside.has(work.key):
            return True
        waits = self._desk.agent.waits
        assert waits is not None
        return waits(work.event, context)

    def _run(self, work: Work, context: Context) -> str:
        work.start()
        started = time.perf_counter()
        try:
            sends = self._attempt(work, context)
        except UnavailableError as error:
            work.rest()
            return str(error)
        except UnreadableError as error:
            self._desk.failed(work, error, 1)
        except Exception as error:  # whatever a handler raises is a dead letter
            self._desk.failed(work, error, self._desk.agent.attempts)
        else:
            self._desk.succeeded(work, sends)
        self._seconds.observe(time.perf_counter() - started)
        return ""

    def _attempt(self, work: Work, context: Context) -> list[Send]:
        event = work.read()
        try:
            return list(self._handle(event, context))
        except UnavailableError:
            raise
        except Exception:
            if self._desk.agent.attempts == 1:
                raise
        return self._retrying(lambda: list(self._handle(event, context)))


class KeyedExecutor:
    """Runs async handlers on the loop: in order per key, out of order across keys."""

    def __init__(self, desk: Desk, loop: asyncio.AbstractEventLoop) -> None:
        self.held = ""
        self._desk = desk
        self._loop = loop
        self._queues: dict[bytes, deque[Work]] = {}
        self._ready: deque[bytes] = deque()
        self._stopped: list[bytes] = []  # keys whose next work may not start
        # Two counts, as each may be written by one thread only.
        self._added = 0
        self._begun = 0
        self._running: set[asyncio.Task[None]] = set()
        self._seconds = HANDLE_SECONDS.labels(desk.agent.name)
        self._recheck: asyncio.TimerHandle | None = None
        self._of_key: Counter[bytes] = Counter()  # works that are not done
        self._lock = threading.Lock()

    def has(self, key: bytes) -> bool:
        """Tell whether anything of the key is not done yet. Safe from any thread."""
        return key in self._of_key

    @property
    def size(self) -> int:
        return self._added - self._begun

    def add(self, works: list[Work]) -> None:
        self._added += len(works)
        with self._lock:
            self._of_key.update(work.key for work in works)
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
        """Start what may start; what is held is put aside until the next look."""
        while self._ready and len(self._running) < self._desk.agent.concurrency:
            key = self._ready.popleft()
            work = self._queues[key][0]
            why = "" if work.ledger.revoked else self._desk.why_not(work)
            if why:
                self._stopped.append(key)
                self.held = why
            else:
                self._begin(key)
        if self._stopped and self._recheck is None:
            self._recheck = self._loop.call_later(RECHECK_S, self._look_again)

    def _look_again(self) -> None:
        self._recheck = None
        self._ready.extend(self._stopped)
        self._stopped.clear()
        self.held = ""
        self._start()

    def _begin(self, key: bytes) -> None:
        work = self._queues[key].popleft()
        self._begun += 1
        task = self._loop.create_task(self._run(work))
        self._running.add(task)
        task.add_done_callback(lambda done: self._ended(key, done))

    def _ended(self, key: bytes, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._forget(key)
        if self._queues[key]:
            self._ready.append(key)
        else:
            del self._queues[key]
        if not task.cancelled() and task.exception() is not None:
            log.error("executor_failed", exc_info=task.exception())
        if not self._stopped:
            self.held = ""
        self._start()

    def _forget(self, key: bytes) -> None:
        with self._lock:
            self._of_key[key] -= 1
            if not self._of_key[key]:
                del self._of_key[key]

    async def _run(self, work: Work) -> None:
        started = time.perf_counter()
        try:
            sends = await self._attempts(work)
        except RevokedError:
            return
        except UnreadableError as error:
            self._desk.failed(work, error, 1)
        except Exception as error:  # whatever a handler raises is a dead letter
            self._desk.failed(work, error, self._desk.agent.attempts)
        else:
            self._desk.succeeded(work, sends)
        self._seconds.observe(time.perf_counter() - started)

    async def _attempts(self, work: Work) -> list[Send]:
        """Try again for ever while something is away, a few times after other failures."""

        def away(reason: str) -> None:
            self.held = reason
            work.rest()

        return await patiently(
            lambda: retried(lambda: self._collect(work), self._bounded), away
        )

    def _bounded(self) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_not_exception_type(
                (UnavailableError, UnreadableError, RevokedError)
            ),
            stop=stop_after_attempt(self._desk.agent.attempts),
            wait=wait_exponential_jitter(multiplier=0.1, max=2.0),
            reraise=True,
        )

    async def _collect(self, work: Work) -> list[Send]:
        await self._may_start(work)
        handle = self._desk.agent.handle_async
        assert handle is not None
        return [send async for send in handle(work.read(), self._desk.context())]

    async def _may_start(self, work: Work) -> None:
        """Each try is a start: a stop holds it too, and meanwhile nobody need wait for it."""
        while not work.ledger.revoked and (why := self._desk.why_not(work)):
            self.held = why
            work.rest()
            await asyncio.sleep(RECHECK_S)
        if work.ledger.revoked:
            work.rest()
            raise RevokedError
        work.start()


async def patiently(
    call: Callable[[], Awaitable[T]], away: Callable[[str], None] = lambda _: None
) -> T:
    """Await call() until nothing it needs is away; tell each time what is."""

    def for_ever() -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception_type(UnavailableError),
            wait=wait_exponential_jitter(multiplier=0.1, max=2.0),
            before_sleep=lambda state: away(
                str(state.outcome and state.outcome.exception())
            ),
            reraise=True,
        )

    return await retried(call, for_ever)
