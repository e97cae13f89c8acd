"""Publishing from an event loop: a coroutine that ends when Kafka has the record."""

import asyncio
import threading
from collections.abc import Mapping
from contextlib import suppress

from agents.broker import Producer
from agents.work import Outgoing


class Publisher:
    """One producer and the thread that serves its acknowledgements."""

    def __init__(self, client: Mapping[str, str]) -> None:
        self._producer = Producer(client)
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, name="publisher", daemon=True
        )
        self._thread.start()

    async def publish(self, record: Outgoing, *, timeout_s: float) -> None:
        """Return once all replicas have it. TimeoutError: nobody knows yet. BrokerError: no."""
        loop = asyncio.get_running_loop()
        confirmed: asyncio.Future[None] = loop.create_future()

        def settle(error: Exception | None) -> None:
            if confirmed.done():
                return
            if error is None:
                confirmed.set_result(None)
            else:
                confirmed.set_exception(error)

        def delivered(error: Exception | None) -> None:
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(settle, error)

        self._producer.publish(
            record.topic,
            key=record.key,
            value=record.value,
            headers=record.headers,
            delivered=delivered,
        )
        async with asyncio.timeout(timeout_s):
            await confirmed

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=5)
        self._producer.flush(2)

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._producer.serve(0.2)
