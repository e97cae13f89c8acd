"""What leaves an agent: outputs and dead letters, published until Kafka has them."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import msgspec
import structlog

from agents.broker import BrokerError, Producer
from agents.work import Outgoing, Work

log = structlog.get_logger()

CORK_S = 0.01

Hopeless = Callable[[Work, Exception, int], None]


class Sending(msgspec.Struct, frozen=True, gc=False):
    """One attempt to publish a record because of a work."""

    work: Work
    record: Outgoing
    is_letter: bool = False
    attempt: int = 1


class Outlet:
    """Publishes what works lead to, and tells each work when Kafka has it."""

    def __init__(
        self, client: Mapping[str, str], *, agent: str, hopeless: Hopeless
    ) -> None:
        """hopeless(work, error, attempts) is called once for a work whose output Kafka refuses."""
        self.broken = ""  # why it ended: a dead letter that could not be written
        self._agent = agent
        self._hopeless = hopeless
        self._producer = Producer(client)
        self._corked: list[Sending] | None = None
        self._cork_until_s = 0.0
        self._corker = 0

    def send(self, work: Work, records: Iterable[Outgoing]) -> None:
        for record in records:
            self._send(Sending(work, record))

    def send_letter(self, work: Work, letter: Outgoing) -> None:
        self._send(Sending(work, letter, is_letter=True))

    def serve(self, timeout_s: float = 0) -> int:
        """Tell works what was acknowledged; return how many were told."""
        return self._producer.serve(timeout_s)

    def cork(self) -> None:
        """Keep for a moment what this thread sends, and hand it over in one go: fewer, fuller requests.

        What other threads send goes out at once.
        """
        self._corker = threading.get_ident()
        self._corked = []
        self._cork_until_s = time.monotonic() + CORK_S

    def uncork(self) -> None:
        corked, self._corked = self._corked, None
        for sending in corked or ():
            self._publish(sending)

    def _send(self, sending: Sending) -> None:
        if self._corked is None or threading.get_ident() != self._corker:
            self._publish(sending)
            return
        self._corked.append(sending)
        if time.monotonic() > self._cork_until_s:
            self.uncork()
            self.cork()

    def _publish(self, sending: Sending) -> None:
        record = sending.record
        delivered = partial(self._delivered, sending)
        try:
            self._producer.publish(
                record.topic,
                key=record.key,
                value=record.value,
                headers=record.headers,
                delivered=delivered,
            )
        except BrokerError as error:
            delivered(error)

    def _delivered(self, sending: Sending, error: Exception | None) -> None:
        if error is None:
            sending.work.acknowledged()
        else:
            self._undelivered(sending, error)

    def _undelivered(self, sending: Sending, error: Exception) -> None:
        """Publish again what Kafka may take later; what it never takes is a dead letter."""
        work = sending.work
        if isinstance(error, BrokerError) and error.retriable:
            log.warning("publish_retried", agent=self._agent, reason=str(error))
            self._send(msgspec.structs.replace(sending, attempt=sending.attempt + 1))
        elif sending.is_letter:
            self.broken = f"a dead letter could not be written: {error}"
            work.rest()
            log.error("dead_letter_lost", agent=self._agent, reason=str(error))
        elif work.bury():
            self._hopeless(
                work, error, sending.attempt
            )  # the letter stands for the output
        else:
            work.acknowledged()  # the letter is on its way because of another output
