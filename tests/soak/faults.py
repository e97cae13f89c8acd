"""The closed set of faults, and the schedule of a soak: a pure function of its seed."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

from controlplane.embedded.processes import Child
from tests.soak.facts import Window
from tests.soak.soft_stop import SoftStop
from tests.soak.stage import WEBS, WORKERS, Stage

END_WITHIN_S = 20.0  # a worker drains in 10 s, on a machine that does nothing else

Heal = Callable[[], None]
Inject = Callable[[Stage, str], Heal]


class LateError(Exception):
    """A process that was asked to end did not for a long time."""


@dataclass(frozen=True)
class Fault:
    """inject() breaks what is at a place, and returns what mends it lasts_s later."""

    name: str
    target: str
    lasts_s: tuple[float, ...]
    inject: Inject


def _ended(signal: Signals) -> Inject:
    """End a process; another takes its place."""

    def inject(stage: Stage, place: str) -> Heal:
        process = stage.processes[place]
        process.signal(signal)
        asked_s = time.monotonic()

        def heal() -> None:
            process.end()
            took_s = time.monotonic() - asked_s
            stage.launch(place)
            stage.await_ready(place)
            if took_s > END_WITHIN_S:
                raise LateError(f"{place} took {took_s:.0f} s to end")

        return heal

    return inject


def _frozen(stage: Stage, place: str) -> Heal:
    process = stage.processes[place]
    process.signal(SIGSTOP)
    return lambda: process.signal(SIGCONT)


def _killed(children: Callable[[Stage], list[Child]]) -> Inject:
    def inject(stage: Stage, place: str) -> Heal:
        dead = children(stage)
        for child in dead:
            child.kill()

        def heal() -> None:
            _start_together(dead)
            if stage.backing.model in dead:
                stage.script_model()

        return heal

    return inject


def _start_together(children: list[Child]) -> None:
    """Brokers of one cluster wait for each other."""
    threads = [threading.Thread(target=child.start) for child in children]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _scripted(**script: object) -> Inject:
    def inject(stage: Stage, place: str) -> Heal:
        stage.product.script(**script)
        return stage.script_model

    return inject


def _stopped(stage: Stage, place: str) -> Heal:
    return SoftStop(stage).release


def _joined(stage: Stage, place: str) -> Heal:
    """One more worker comes, and goes again: the group shares its work out anew, twice."""
    stage.launch(place)
    stage.await_ready(place)
    return stage.processes[place].end


def _service(name: str) -> Callable[[Stage], list[Child]]:
    def children(stage: Stage) -> list[Child]:
        if name == "kafka":
            assert stage.backing.kafka is not None
            return stage.backing.kafka.nodes
        return [child for child in stage.backing.children if child.name == name]

    return children


# A freeze may be longer than the 10 s after which a group gives its member up.
SHORT, FREEZE = (0.5, 1.0, 2.0), (2.0, 5.0, 13.0)


def _kinds(kafka_nodes: int) -> Iterator[Fault]:
    processes = [f"worker-{number}" for number in range(WORKERS)]
    processes += [f"web-{number}" for number in range(WEBS)]
    for target in [*processes, "relay"]:
        yield Fault(f"SIGKILL {target}", target, SHORT, _ended(SIGKILL))
        yield Fault(f"SIGTERM {target}", target, SHORT, _ended(SIGTERM))
        yield Fault(f"SIGSTOP {target}", target, FREEZE, _frozen)
    for name in ("kafka", "postgres", "valkey", "model"):
        yield Fault(f"SIGKILL {name}", name, SHORT, _killed(_service(name)))
    for number in range(1, kafka_nodes + 1) if kafka_nodes > 1 else ():
        name = f"kafka-{number}"
        lasts = (2.0, 5.0, 10.0)
        yield Fault(f"SIGKILL {name}", "kafka", lasts, _killed(_service(name)))
    yield Fault("soft stop", "stop", (5.0, 10.0, 20.0), _stopped)
    one_more = f"worker-{WORKERS}"
    yield Fault("one more worker", one_more, SHORT, _joined)
    yield Fault("slow model", "model", FREEZE, _scripted(delay_ms=4_000))
    yield Fault("broken model", "model", FREEZE, _scripted(status=500))
    yield Fault("cut-off model", "model", FREEZE, _scripted(break_stream_after=1))


def kinds(kafka_nodes: int) -> list[Fault]:
    return list(_kinds(kafka_nodes))


@dataclass(frozen=True)
class Planned:
    at_s: float
    fault: Fault
    lasts_s: float

    def __str__(self) -> str:
        return f"{self.at_s:.0f} s: {self.fault.name}, {self.lasts_s:g} s"


def schedule(
    seed: str, *, seconds: float, every_s: float, kafka_nodes: int = 1
) -> list[Planned]:
    """Return what breaks when: each kind once before any comes again."""
    chance = random.Random(seed)  # noqa: S311
    planned: list[Planned] = []
    bag: list[Fault] = []
    for number in range(1, int(seconds / every_s)):
        if not bag:
            bag = kinds(kafka_nodes)
            chance.shuffle(bag)
        fault = bag.pop()
        planned.append(Planned(number * every_s, fault, chance.choice(fault.lasts_s)))
    return planned


class Faults:
    """Carries a schedule out: each fault in a thread of its own, one at a time for one target."""

    def __init__(self, stage: Stage, planned: list[Planned]) -> None:
        self.windows: list[Window] = []
        self.errors: list[str] = []
        self._stage = stage
        self._planned = planned
        self._locks = {place: threading.Lock() for place in _places(planned)}
        self._ill: set[Planned] = set()
        self._threads: list[threading.Thread] = []

    @property
    def now(self) -> str:
        return ", ".join(sorted(each.fault.name for each in self._ill.copy())) or "-"

    def start(self) -> None:
        self._threads = [
            threading.Thread(target=self._run, args=(each, time.monotonic()))
            for each in self._planned
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all is healed."""
        for thread in self._threads:
            thread.join()

    def _run(self, planned: Planned, began_s: float) -> None:
        time.sleep(max(0.0, began_s + planned.at_s - time.monotonic()))
        place = self._stage.place_of(planned.fault.target)
        with self._locks[place]:  # what is ill already falls ill again afterwards
            start_s = time.time()
            self._ill.add(planned)
            try:
                heal = planned.fault.inject(self._stage, place)
                time.sleep(planned.lasts_s)
                heal()
            except Exception as error:  # told with the differences
                self.errors.append(f"{planned}: {error!r}")
            self._ill.discard(planned)
            self.windows.append(Window(start_s, time.time(), planned.fault.name))


def _places(planned: list[Planned]) -> set[str]:
    workers = {f"worker-{number}" for number in range(WORKERS)}
    return workers | {each.fault.target for each in planned}
