"""An outside producer, which publishes users' messages by itself."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from agents import cloudevents
from agents.broker import Producer
from agents.cloudevents import Envelope
from agents.events import UserMessage
from agents.topics import USER_RAW
from tests.e2e.product import Product

EVERY_S = 0.05  # twenty a second


class Outside:
    """Conversations whose names begin with the marker. Not thread-safe."""

    def __init__(self, product: Product, marker: str) -> None:
        self.marker = marker
        self._producer = Producer(
            {"bootstrap.servers": product.env["KAFKA_BOOTSTRAP_SERVERS"]}
        )
        self._refused: list[Exception] = []

    def say(self, text: str, *, conversation: int, number: int, tier: str) -> None:
        name = f"{self.marker} {conversation}"
        turn = cloudevents.ingress_id(name, str(number))
        envelope = Envelope(
            id=turn,
            type="UserMessage",
            source="outside",
            trace_id=cloudevents.trace_id_of(turn),
            subject=name,
            workflow="chat",
            tier=tier,
        )
        said = UserMessage(
            conversation_id=name,
            text=text,
            user=name,
            client_id=str(number),
            tier=tier,
        )
        self._producer.publish(
            USER_RAW,
            key=name.encode(),
            value=msgspec.json.encode(said),
            headers=cloudevents.encode_headers(envelope),
            delivered=lambda error: self._refused.append(error) if error else None,
        )
        self._producer.serve()

    def flush(self) -> None:
        assert self._producer.flush(60) == 0
        assert self._refused == []


class Talk:
    """Twenty messages a second, each in a conversation of its own, while it goes on."""

    def __init__(self, product: Product, marker: str, text: str) -> None:
        self.said = 0
        self._outside = Outside(product, marker)
        self._text = text
        self._ended = threading.Event()

    @contextmanager
    def going_on(self) -> Iterator["Talk"]:
        thread = threading.Thread(target=self._run, name="talk")
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()
            self._outside.flush()

    def _run(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._outside.say(self._text, conversation=self.said, number=0, tier="free")
            self.said += 1
