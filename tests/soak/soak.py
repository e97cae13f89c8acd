"""One soak: load, faults, the quiet afterwards, and the comparison."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.soak import collect
from tests.soak.checker import Bounds, check
from tests.soak.facts import Decided, Difference, Facts
from tests.soak.faults import Faults, Planned, schedule
from tests.soak.load import Load
from tests.soak.moderator import Moderator
from tests.soak.stage import Stage

PROGRESS_EVERY_S = 5.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    seed: str
    seconds: float = 60.0
    turns_per_s: float = 20.0
    fault_every_s: float = 5.0  # 0: none
    kafka_nodes: int = 1
    users: int = 40
    tail_s: float = 90.0  # how long the last turns may take after the last fault
    bounds: Bounds = dataclasses.field(default_factory=Bounds)

    @classmethod
    def from_environment(cls) -> "Options":
        given = os.environ
        return cls(
            seed=given.get("SEED") or str(time.time_ns() % 1_000_000),
            seconds=float(given.get("SECONDS", "60")),
            turns_per_s=float(given.get("TURNS_PER_S", "20")),
            fault_every_s=float(given.get("FAULT_EVERY_S", "5")),
            kafka_nodes=int(given.get("KAFKA_NODES", "1")),
            users=int(given.get("USERS", "40")),
            bounds=Bounds(late_s=float(given.get("LATE_S", "3"))),
        )


class Soak:
    """Runs on a stage that has started; several may follow each other on one stage."""

    def __init__(self, stage: Stage, options: Options, say: Say) -> None:
        from controlplane.chat import tokens  # noqa: PLC0415  # needs Django set up

        self.options = options
        self._stage = stage
        self._say = say
        users = [f"soak {options.seed} {number}" for number in range(options.users)]
        self.load = Load(
            [tokens.issue(user, tier="free") for user in users],
            stage.sockets,
            options.seed,
        )
        self.plan(_planned(options))
        self._moderator = Moderator(stage.product, stage.ports, self.load.clients)

    def plan(self, planned: list[Planned]) -> None:
        """Let these faults happen."""
        self.planned = planned
        self.faults = Faults(self._stage, planned)

    def run(self) -> list[Difference]:
        with self._people():
            self.load.start()
            self.load.ask(
                seconds=self.options.seconds, turns_per_s=self.options.turns_per_s
            )
            self.faults.start()
            self._watch(time.monotonic() + self.options.seconds)
            self.faults.join()
            self._await_the_last()
            self.load.stop()
            self.load.show_again()
        facts = self.collect()
        alone = sum(len(client.own_words) for client in self.load.clients)
        self._say(f"{alone} turns of which the widget said that nothing was heard yet")
        errors = [Difference("", f"the fault broke: {e}") for e in self.faults.errors]
        return errors + check(facts, self.options.bounds)

    def collect(self) -> Facts:
        product = self._stage.product
        self._await(self._is_recorded, "the recorder has every record")
        return dataclasses.replace(
            collect.from_database(product, self.load.clients),
            records=collect.from_kafka(product),
            decided=list[Decided](self._moderator.decided),
            faults=self.faults.windows,
        )

    @contextmanager
    def _people(self) -> Iterator[None]:
        self._moderator.start()
        try:
            yield
        finally:
            self._moderator.stop()
            self.load.close()

    def _watch(self, until_s: float) -> None:
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, PROGRESS_EVERY_S))
            self._tell()

    def _tell(self) -> None:
        asked, accepted, answered = self.load.progress()
        told = f"{asked} asked, {accepted} accepted, {answered} answered"
        self._say(f"{told}; {self.faults.now}")

    def _await_the_last(self) -> None:
        self._await(self._is_answered, "every turn is answered")

    def _await(self, fact: Callable[[], bool], what: str) -> None:
        """Wait a bounded time; what is not so by then is for the checker to find."""
        deadline_s = time.monotonic() + self.options.tail_s
        while not fact():
            if time.monotonic() > deadline_s:
                self._say(f"given up waiting until {what}")
                return
            time.sleep(0.2)
        self._tell()

    def _is_answered(self) -> bool:
        asked, accepted, answered = self.load.progress()
        return asked == accepted and answered == collect.answered(
            self._stage.product, self.load.clients
        )

    def _is_recorded(self) -> bool:
        recorded = collect.recorded(self._stage.product)
        ends = collect.ends(self._stage.product)
        return all(recorded.get(where, 0) == end for where, end in ends.items())


def _planned(options: Options) -> list[Planned]:
    if not options.fault_every_s:
        return []
    return schedule(
        options.seed,
        seconds=options.seconds,
        every_s=options.fault_every_s,
        kafka_nodes=options.kafka_nodes,
    )
