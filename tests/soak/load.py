"""The users: so many turns a second over so many widgets, on an event loop in a thread."""

import asyncio
import random
import threading
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar
from uuid import UUID

from tests.soak.facts import Client, Said
from tests.soak.widget import Widget

T = TypeVar("T")

HELD = "What is your best offer?"  # its scripted answer is held for a person
QUESTIONS = (
    "What's the latest model of Mercedes?",
    "Write a romantic poem.",
    "When are you open on Saturday?",
    "How much does the E-Class cost?",
    "And in blue?",
    "Where can I park?",
    "Thanks!",
    "Do you sell winter tyres?",
    "Can I test-drive it?",
    HELD,
)


class Load:
    """Asks at its own pace, whether or not anybody answers."""

    def __init__(self, tokens: Sequence[str], urls: list[str], seed: str) -> None:
        self.clients = [Client(f"user {number}") for number in range(len(tokens))]
        self._chance = random.Random(seed)  # noqa: S311
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="load")
        self._widgets = [
            Widget(client, token, urls, random.Random(f"{seed} {client.name}"))  # noqa: S311
            for client, token in zip(self.clients, tokens, strict=True)
        ]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._thread.start()
        self._on_loop(self._connect())

    def ask(self, *, seconds: float, turns_per_s: float) -> None:
        """Begin to ask; return at once."""
        asyncio.run_coroutine_threadsafe(self._ask(seconds, turns_per_s), self._loop)

    def progress(self) -> tuple[int, int, int]:
        """Return how many turns were asked, accepted and answered."""
        said = [said for client in self.clients for said in list(client.said)]
        answers = sum(
            line.is_answer for client in self.clients for line in list(client.live)
        )
        return len(said), sum(bool(each.accepted_s) for each in said), answers

    @property
    def is_confirmed(self) -> bool:
        return not any(widget.pending for widget in self._widgets)

    def stop(self) -> None:
        """Hang up."""
        self._on_loop(self._cancel())

    def show_again(self) -> None:
        """Let each user come back with an empty page."""
        self._on_loop(self._show_again())

    def close(self) -> None:
        self._on_loop(self._cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _connect(self) -> None:
        self._tasks = [asyncio.create_task(widget.run()) for widget in self._widgets]

    async def _ask(self, seconds: float, turns_per_s: float) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for number in range(round(seconds * turns_per_s)):
            await asyncio.sleep(began_s + number / turns_per_s - loop.time())
            client_id = str(UUID(int=self._chance.getrandbits(128), version=4))
            text = self._chance.choice(QUESTIONS)
            self._chance.choice(self._widgets).say(Said(client_id, text, time.time()))

    async def _show_again(self) -> None:
        for widget in self._widgets:
            widget.client.transcript = await widget.show_again()

    async def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for error in ended:
            if isinstance(error, Exception):  # a widget that broke proves nothing
                raise error

    def _on_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(120)
