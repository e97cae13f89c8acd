"""Keeps child processes alive: says plainly that one died, and starts it again with back-off."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, getsignal, signal
from types import FrameType
from typing import Never

from controlplane.embedded.processes import Child, ServiceError

WINDOW = 60.0  # seconds
MOST_DEATHS = 5  # in one window
FIRST_PAUSE = 0.5  # seconds; twice as long after each further death
SIGNALS = (SIGINT, SIGTERM, SIGHUP)


class Interrupted(Exception):  # noqa: N818  not an error: the person asked for it
    """Ctrl-C, or a signal that asks us to end."""


@dataclass
class Watch:
    """One child, when it died lately, and when it may start again."""

    child: Child
    deaths: deque[float] = field(default_factory=deque)
    due: float | None = None


class Supervisor:
    def __init__(
        self, children: Iterable[Child], report: Callable[[str], None]
    ) -> None:
        self._watches = [Watch(child) for child in children]
        self._report = report

    def run(self) -> Never:
        """Watch until a signal interrupts, or a child dies too often."""
        while True:
            self.check()
            time.sleep(0.2)

    def check(self) -> None:
        for watch in self._watches:
            if watch.due is not None:
                self._revive(watch)
            elif not watch.child.is_running():
                self._bury(watch, watch.child.obituary())

    def _bury(self, watch: Watch, words: str) -> None:
        now = time.monotonic()
        watch.deaths.append(now)
        while watch.deaths[0] < now - WINDOW:
            watch.deaths.popleft()
        if len(watch.deaths) > MOST_DEATHS:
            raise ServiceError(
                f"{words}\n{watch.child.name} died too often: everything stops."
            )
        pause = FIRST_PAUSE * 2 ** (len(watch.deaths) - 1)
        watch.due = now + pause
        self._report(f"{words}\n{watch.child.name} starts again in {pause:g} s.")

    def _revive(self, watch: Watch) -> None:
        if watch.due is None or time.monotonic() < watch.due:
            return
        watch.due = None
        try:
            watch.child.start()
        except ServiceError as error:
            self._bury(watch, str(error))
        else:
            self._report(f"{watch.child.name} runs again.")


def interrupt_on_signals() -> None:
    """Turn Ctrl-C, SIGTERM and a closed terminal into Interrupted; the first is the only one.

    A second Ctrl-C must not break off the stopping and leave processes behind.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> Never:
        for number in SIGNALS:
            signal(number, SIG_IGN)
        raise Interrupted

    for number in SIGNALS:
        if number != SIGHUP or getsignal(SIGHUP) != SIG_IGN:  # as nohup has set it
            signal(number, interrupt)
