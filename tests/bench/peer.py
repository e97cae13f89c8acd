"""The same hop by FastStream, in batches: the peer that it is compared with."""

import asyncio
import time
from uuid import uuid4

from faststream import FastStream
from faststream.confluent import KafkaBroker
from pydantic import BaseModel


class Message(BaseModel):
    conversation_id: str
    text: str
    user: str


def faststream(
    client: dict[str, str], source: str, sink: str, *, records: int
) -> float:
    """Return records per second, from the first batch to the last."""
    return asyncio.run(_run(client["bootstrap.servers"], source, sink, records))


async def _run(servers: str, source: str, sink: str, records: int) -> float:
    broker = KafkaBroker(servers, logger=None)
    done, began_s, ended = 0, 0.0, asyncio.Event()

    @broker.subscriber(
        source,
        batch=True,
        max_records=1_000,
        group_id=f"peer-{uuid4().hex}",
        auto_offset_reset="earliest",
    )
    @broker.publisher(sink, batch=True)
    async def hop(messages: list[Message]) -> list[Message]:
        nonlocal done, began_s
        began_s = began_s or time.perf_counter()
        done += len(messages)
        if done >= records:
            ended.set()
        return messages

    app = FastStream(broker, logger=None)
    running = asyncio.create_task(app.run())
    await ended.wait()
    took_s = time.perf_counter() - began_s
    app.exit()
    await running
    return records / took_s
