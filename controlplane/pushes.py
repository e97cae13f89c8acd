"""The channel layer for pushes: sockets open and live on while Valkey is away."""

import asyncio
from typing import Any

import structlog
from channels_redis.pubsub import (
    RedisPubSubChannelLayer,
    RedisPubSubLoopLayer,
    RedisSingleShardConnection,
)
from redis.exceptions import RedisError

log = structlog.get_logger()

RETRY_S = 1.0
LISTEN_S = 1.0  # how long an interruption is late that Python 3.11's wait_for swallows


class Outage:
    """Says once that Valkey is away and once that it is back, whichever loop finds out."""

    is_on = False

    def begin(self, error: Exception) -> None:
        if not self.is_on:
            self.is_on = True
            log.warning("valkey_is_away", reason=str(error), retry_s=RETRY_S)

    def end(self) -> None:
        if self.is_on:
            self.is_on = False
            log.warning("valkey_is_back")


class PushLayer(RedisPubSubChannelLayer):  # type: ignore[misc]
    """While Valkey is away, what is to be subscribed waits for it, and what is sent is lost."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.outage = Outage()

    def _get_layer(self) -> RedisPubSubLoopLayer:
        layer = super()._get_layer()
        shards = layer._shards  # noqa: SLF001  # it has no other way to be given its own
        if not isinstance(shards[0], PatientShard):
            shards[:] = [PatientShard(s.host, layer, self.outage) for s in shards]
        return layer


class PatientShard(RedisSingleShardConnection):  # type: ignore[misc]
    """Does later what cannot be done now. redis-py renews what was subscribed before.

    The receiver alone uses the connection of the subscriptions: two who renew it leak one.
    """

    def __init__(
        self, host: object, layer: RedisPubSubLoopLayer, outage: Outage
    ) -> None:
        super().__init__(host, layer)
        self._outage = outage
        self._later: dict[str, bool] = {}  # channel: whether it is to be subscribed
        self._tried = asyncio.Event()
        self._reading: asyncio.Timeout | None = None

    async def publish(self, channel: str, message: bytes) -> None:
        """Send, or lose it. No caller could do better: sockets look for themselves."""
        try:
            await super().publish(channel, message)
        except (RedisError, OSError) as error:
            self._outage.begin(error)
        else:
            self._outage.end()

    async def subscribe(self, channel: str) -> None:
        self._ask(channel, is_wanted=True)
        if not self._outage.is_on:
            self._tried.clear()
            await self._tried.wait()

    async def unsubscribe(self, channel: str) -> None:
        self._ask(channel, is_wanted=False)

    async def flush(self) -> None:
        await super().flush()
        self._later.clear()
        self._tried.set()

    def _ask(self, channel: str, *, is_wanted: bool) -> None:
        self._later[channel] = is_wanted
        self._ensure_redis()
        self._ensure_receiver()
        if self._reading is not None:
            self._reading.reschedule(0)
            self._reading = None

    async def _do_receiving(self) -> None:
        """Stand in for the library's loop, which logs a traceback each second and ends on a timeout."""
        is_broken = False
        while True:
            try:
                await self._do_what_waits()
                if is_broken:
                    self._outage.end()
                self._receive_message(await self._next_message())
            except (RedisError, OSError) as error:
                is_broken = True
                self._outage.begin(error)
                await self._pause()
            except Exception:  # a loop that has ended would leave every socket mute
                log.exception("push_receiver_broke")
                await self._pause()
            else:
                is_broken = False

    async def _pause(self) -> None:
        self._tried.set()
        await asyncio.sleep(RETRY_S)

    async def _do_what_waits(self) -> None:
        """Connect, then do what was asked for meanwhile too."""
        await self._pubsub.connect()
        while self._later:
            channel, is_wanted = next(iter(self._later.items()))
            await (super().subscribe if is_wanted else super().unsubscribe)(channel)
            if self._later.get(channel) is is_wanted:
                del self._later[channel]
        self._tried.set()
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # see LISTEN_S
            raise asyncio.CancelledError

    async def _next_message(self) -> dict[str, Any] | None:
        """Return None when something else is to be done."""
        try:
            async with asyncio.timeout(None) as self._reading:
                message: dict[str, Any] | None = await self._pubsub.get_message(
                    ignore_subscribe_messages=True, timeout=LISTEN_S
                )
        except TimeoutError:
            return None
        finally:
            self._reading = None
        return message
