"""The agents of one process: an event loop, control state, heartbeats, and a thread per agent."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any

import psycopg
import structlog
import uvloop
from tenacity import AsyncRetrying, Retrying, wait_exponential_jitter

from agents.agent import Agent, Context
from agents.alive import Pulse
from agents.control import POLL_S, Connection, Control
from agents.control_state import ControlState, oldest_of
from agents.heartbeat import Heartbeat
from agents.history import DeliveredHistory
from agents.interpreter import tune_interpreter
from agents.model import BackendModel
from agents.rule_sets import RuleSets
from agents.runner import Runner
from agents.scorers.scorers import Scorers
from agents.scorers.settings import ScorerSettings
from agents.tools import Build, Service, Tools
from guardrails.costs import Told
from guardrails.masking import Masker

log = structlog.get_logger()

SEATS_S = 6.5  # until all agents have drained and left their groups
STOP_S = 8.5  # for everything: the process must be gone within 10 s
LATE_S = 20.0  # whoever made no round for so long hangs
LOOP_TURNS_S = 1.0
SOON_S = 0.02  # until all agents obey a change, and then that is told
SOON_FOR_S = 2.0


class Seat:
    """A runner in its thread, made anew when it breaks."""

    def __init__(self, agent: Agent, make: Callable[[], Runner]) -> None:
        self.agent = agent
        self.runner: Runner | None = None
        self.turned_at_s = time.monotonic()
        self._make = make
        self._paused = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=agent.name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; return whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def pause(self, reason: str) -> None:
        """Hold the agent in this process only; an empty reason lets it go on."""
        self._paused = reason
        runner = self.runner  # its thread may take it away at any time
        if runner is not None:
            runner.paused = reason

    def status(self) -> dict[str, Any]:
        runner = self.runner
        if runner is not None:
            return runner.status()
        return {
            "agent": self.agent.name,
            "state": "starting",
            "why": "",
            "in_flight": 0,
            "done": 0,
            "errors": 0,
            "partitions": 0,
        }

    def _run(self) -> None:
        """Whatever ends a runner, the next one starts from what was committed."""
        retrying = Retrying(
            wait=wait_exponential_jitter(multiplier=0.2, max=5.0),
            sleep=self._sleep,
            before_sleep=lambda state: log.error(
                "runner_failed",
                agent=self.agent.name,
                exc_info=state.outcome and state.outcome.exception(),
            ),
        )
        retrying(self._run_once)

    def _sleep(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _run_once(self) -> None:
        if self._stopping.is_set():
            return
        self.turned_at_s = time.monotonic()
        runner = self._make()
        runner.paused = self._paused
        self.runner = runner
        try:
            while not self._stopping.is_set():
                self.turned_at_s = time.monotonic()
                runner.step()
        finally:
            self.runner = None
            runner.drain()


async def _keep(service: Service) -> None:
    """Whatever ends a service, it starts again."""
    retrying = AsyncRetrying(
        wait=wait_exponential_jitter(multiplier=0.2, max=5.0),
        before_sleep=lambda state: log.error(
            "service_failed",
            service=service.name,
            exc_info=state.outcome and state.outcome.exception(),
        ),
    )
    await retrying(service.run)


async def _cancel(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel them and wait, all but the one that asks."""
    ending = [task for task in tasks if task is not asyncio.current_task()]
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


class Runtime:
    """Starts and stops everything that a worker process hosts."""

    def __init__(
        self,
        builds: Sequence[Build],
        *,
        conninfo: str,
        client: Mapping[str, str],
        scorers: ScorerSettings,
        masker: Masker,
        knowledge: str = "",
    ) -> None:
        self._scorer_settings = scorers
        self._masker = masker
        self._conninfo = conninfo
        self._client = dict(client)
        self._knowledge = knowledge
        self._builds = builds
        self._loop = uvloop.new_event_loop()
        self._loop_thread = threading.Thread(
            target=self._loop.run_forever, name="loop", daemon=True
        )
        self._loop_turned_at_s = time.monotonic()
        self._pulse = Pulse(self.is_turning)
        self._tasks: list[asyncio.Task[None]] = []
        self._services: list[Service] = []
        self.seats: dict[str, Seat] = {}
        self._changed_at_s = float("-inf")
        self._prepared = ""  # the rule-set whose examples were sent to be embedded
        self._loop_state = self._told = ControlState()
        self.heartbeat = Heartbeat(self.statuses, self._rule_costs)
        self.control = Control(
            conninfo, on_tick=self._tick, rule_sets=RuleSets(conninfo)
        )

    def start(self) -> None:
        tune_interpreter()
        self._loop_thread.start()
        self._on_loop(self._open())
        self.control.start()
        for seat in self.seats.values():
            seat.start()
        self._pulse.start()

    def is_turning(self) -> bool:
        """Tell whether the loop and every agent's thread have made a round lately."""
        turned = [seat.turned_at_s for seat in self.seats.values()]
        return time.monotonic() - min([self._loop_turned_at_s, *turned]) < LATE_S

    def stop(self) -> None:
        """Drain: finish what runs, commit, leave the groups, close the connections.

        What hangs on something that is away is left behind in its thread: the process ends.
        """
        ending = threading.Thread(target=self._end, name="ending", daemon=True)
        ending.start()
        ending.join(STOP_S)
        if ending.is_alive():
            log.warning("runtime_left_open")

    def _end(self) -> None:
        self._pulse.stop()
        self._drain()
        self.control.stop()
        self._remove_heartbeat()
        self._on_loop(self._close())
        self._tools.publisher.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._loop_thread.join(5)
        if not self._loop_thread.is_alive():
            self._loop.close()

    def _drain(self) -> None:
        """Let all seats end at the same time, by one deadline."""
        deadline_s = time.monotonic() + SEATS_S
        for seat in self.seats.values():
            seat.stop()
        late = [
            name
            for name, seat in self.seats.items()
            if not seat.join(max(0.0, deadline_s - time.monotonic()))
        ]
        if late:
            log.warning("agents_left_behind", agents=late)

    def statuses(self) -> list[dict[str, Any]]:
        seats = [seat.status() for seat in self.seats.values()]
        return seats + [service.status() for service in self._services]

    async def _turn(self) -> None:
        while True:
            self._loop_turned_at_s = time.monotonic()
            await asyncio.sleep(LOOP_TURNS_S)

    async def _open(self) -> None:
        self._tasks.append(self._loop.create_task(self._turn()))
        self._tools = Tools(self._conninfo, self._client, self._masker)
        await self._tools.database.open()
        self._history = DeliveredHistory(self._tools.database)
        self._model = BackendModel(
            self._tools.database, lambda: self.control.state, self._masker
        )
        self._scorers = Scorers(self._scorer_settings, self._masker)
        for build in self._builds:
            built = build(self._tools)
            if isinstance(built, Agent):
                self.seats[built.name] = self._seat(built)
            else:
                self._services.append(built)
                self._tasks.append(self._loop.create_task(_keep(built)))

    async def _close(self) -> None:
        await _cancel(self._tasks)
        await self._tools.database.close()
        # Handlers that the drain did not wait for any longer.
        await _cancel(asyncio.all_tasks())
        await self._model.close()
        await self._scorers.close()

    def _seat(self, agent: Agent) -> Seat:
        return Seat(
            agent,
            lambda: Runner(
                agent,
                client=self._client,
                control=self.control,
                context=self._context,
                loop=self._loop,
            ),
        )

    def _context(self) -> Context:
        engine = self.control.engine
        assert engine is not None  # why_not() holds every agent until there is one
        return Context(
            engine=engine,
            is_in_force=self.control.is_in_force,
            state=self.control.state,
            model=self._model,
            history=self._history,
            scorer=self._scorers,
            knowledge=self._knowledge,
        )

    def _tick(self, connection: Connection, changed: bool) -> float:  # noqa: FBT001
        """Say what is obeyed as soon as it is; return how long to wait before the next look, in s."""
        state = self.control.state
        if changed:
            self._changed_at_s = time.monotonic()
            self._loop.call_soon_threadsafe(self._loop_obeys, state)
            self._prepare_scorers()
        obeyed = oldest_of(list(self._obeyed()), latest=state)
        is_news = obeyed != self._told
        self._told = obeyed
        self.heartbeat.beat(connection, obeyed, at_once=is_news)
        is_waiting = obeyed != state
        is_young = time.monotonic() - self._changed_at_s < SOON_FOR_S
        return SOON_S if is_waiting and is_young else POLL_S

    def _rule_costs(self) -> Told:
        engine = self.control.engine
        return engine.costs.told() if engine is not None else {}

    def _obeyed(self) -> Iterator[ControlState]:
        """Yield what no thread starts anything against any more, and the loop neither."""
        yield self._loop_state
        for seat in self.seats.values():
            runner = seat.runner
            if runner is not None:
                yield runner.obeys

    def _prepare_scorers(self) -> None:
        """Beside all work: who needs the examples before they are there waits for them."""
        engine = self.control.engine
        if engine is not None and engine.ruleset_hash != self._prepared:
            self._prepared = engine.ruleset_hash
            prepare = self._scorers.prepare(engine.rules)
            asyncio.run_coroutine_threadsafe(prepare, self._loop)

    def _loop_obeys(self, state: ControlState) -> None:
        self._loop_state = state

    def _on_loop(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def _remove_heartbeat(self) -> None:
        try:
            with psycopg.connect(
                self._conninfo, autocommit=True, connect_timeout=2
            ) as connection:
                self.heartbeat.remove(connection)
        except psycopg.OperationalError as error:
            log.warning("heartbeat_not_removed", reason=str(error))
