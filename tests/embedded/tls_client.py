"""Uses services as the product does, set up by the environment alone: python -m tests.embedded.tls_client kafka pushes"""

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Any

import django
from django.conf import settings

TIMEOUT_S = float(os.environ.get("WAIT_S", "10"))


def kafka() -> None:
    from agents import broker, topic_setup, topics  # noqa: PLC0415  # Django is set up first
    from agents.records import Partition  # noqa: PLC0415

    class Nobody:
        def assigned(self, _: list[Partition]) -> Mapping[Partition, int]:
            return {}

        def revoked(self, _: list[Partition]) -> None: ...

        def not_committed(self, _: list[Partition]) -> None: ...

    topic = topics.TOPICS["user.messages.raw"]
    topic_setup.ensure_topics(settings.KAFKA, [topic], create=True)
    producer = broker.Producer(settings.KAFKA)
    producer.publish(
        topic.name, key=b"k", value=b"{}", headers=[], delivered=_must_be_none
    )
    assert producer.flush(TIMEOUT_S) == 0
    consumer = broker.Consumer(
        settings.KAFKA, group="tls", topics=[topic.name], rebalance=Nobody()
    )
    records = consumer.fetch(1, TIMEOUT_S)
    consumer.close()
    assert [record.value for record in records] == [b"{}"]


def kafka_ping() -> None:
    from agents import admin  # noqa: PLC0415

    admin.ping(settings.KAFKA)


def _must_be_none(error: Exception | None) -> None:
    assert error is None, error


def postgres() -> None:
    import psycopg  # noqa: PLC0415
    from django.db import connections  # noqa: PLC0415

    from agents.host import conninfo  # noqa: PLC0415

    with psycopg.connect(conninfo()) as connection:  # as workers do
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection.info.pgconn.ssl_in_use
    for name in ("default", "owner"):  # as the site and as migrations do
        with connections[name].cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
            assert cursor.connection.info.pgconn.ssl_in_use
        connections[name].close()
    connections["default"].close_pool()  # type: ignore[attr-defined]


def pushes() -> None:
    asyncio.run(_push())


async def _push() -> None:
    from channels.layers import get_channel_layer  # noqa: PLC0415

    layer = get_channel_layer()
    assert layer is not None
    channel = await layer.new_channel()
    await layer.group_add("tls", channel)
    await layer.group_send("tls", {"type": "wake"})
    assert await asyncio.wait_for(layer.receive(channel), TIMEOUT_S) == {"type": "wake"}
    await layer.flush()


def celery() -> None:
    from controlplane.celery import app  # noqa: PLC0415

    with app.connection_for_write(connect_timeout=TIMEOUT_S) as connection:
        connection.connect()
        channel: Any = connection.default_channel
        channel.client.ping()


def control_room() -> None:
    """Print a line for each service, as the page does."""
    from controlplane.home.services import look  # noqa: PLC0415

    for service in look():
        said = "up" if service.is_up else service.error
        sys.stdout.write(f"{service.name} {said}\n")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    django.setup()
    for name in sys.argv[1:]:
        globals()[name]()
