"""The channel layer for pushes: sockets open and live on while Valkey is away."""

import asyncio

import structlog
from channels_redis.pubsub import (
    RedisPubSubChannelLayer,
    RedisPubSubLoopLayer,
    RedisSingleShardConnection,
)
from redis.exceptions import RedisError

log = structlog.get_logger()

RETRY_S = 1.0


class PushLayer(RedisPubSubChannelLayer):  # type: ignore[misc]
    """Subscribing never fails: it is done as soon as Valkey is there. Sending may fail."""

    def _get_layer(self) -> RedisPubSubLoopLayer:
        layer = super()._get_layer()
        shards = layer._shards  # noqa: SLF001  # it has no other way to be given its own
        if not isinstance(shards[0], PatientShard):
            shards[:] = [PatientShard(shard.host, layer) for shard in shards]
        return layer


class PatientShard(RedisSingleShardConnection):  # type: ignore[misc]
    """Does later what cannot be done now. redis-py renews what was subscribed before."""

    _receive_task: asyncio.Task[None] | None

    def __init__(self, host: object, layer: RedisPubSubLoopLayer) -> None:
        super().__init__(host, layer)
        self._later: dict[str, bool] = {}  # channel: whether it is to be subscribed
        self._catching_up: asyncio.Task[None] | None = None

    async def subscribe(self, channel: str) -> None:
        await self._now_or_later(channel, is_wanted=True)

    async def unsubscribe(self, channel: str) -> None:
        await self._now_or_later(channel, is_wanted=False)

    async def flush(self) -> None:
        if self._catching_up is not None:
            self._catching_up.cancel()
            await asyncio.gather(self._catching_up, return_exceptions=True)
            self._catching_up = None
        self._later.clear()
        await super().flush()

    async def _now_or_later(self, channel: str, *, is_wanted: bool) -> None:
        self._later.pop(channel, None)
        try:
            await self._do(channel, is_wanted=is_wanted)
        except (RedisError, OSError) as error:
            self._later[channel] = is_wanted
            if self._catching_up is None or self._catching_up.done():
                log.warning("pushes_wait_for_valkey", reason=str(error))
                self._catching_up = asyncio.create_task(self._catch_up())

    async def _do(self, channel: str, *, is_wanted: bool) -> None:
        if is_wanted:
            await super().subscribe(channel)
        else:
            await super().unsubscribe(channel)

    async def _catch_up(self) -> None:
        while self._later:
            await asyncio.sleep(RETRY_S)
            try:
                await self._do_what_waits()
            except (RedisError, OSError):
                continue  # it was said when it began
        log.info("pushes_caught_up")

    async def _do_what_waits(self) -> None:
        for channel, is_wanted in list(self._later.items()):
            if self._later.get(channel) is is_wanted:
                await self._do(channel, is_wanted=is_wanted)
            if self._later.get(channel) is is_wanted:
                del self._later[channel]

    def _ensure_receiver(self) -> None:
        """Start the loop anew if it has ended: it does on a timeout of the operating system."""
        if self._receive_task is not None and self._receive_task.done():
            self._receive_task = None
        super()._ensure_receiver()
