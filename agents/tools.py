"""What sinks and services are built with, apart from what only a worker that runs them needs."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from agents.agent import Agent
from agents.postgres import Database
from agents.publisher import Publisher
from guardrails.masking import Masker


class Service(Protocol):
    """Something that runs on the loop beside the agents."""

    name: str
    description: str
    writes: tuple[str, ...]

    async def run(self) -> None: ...
    def status(self) -> dict[str, Any]: ...


class Tools:
    """What sinks and services are built with."""

    def __init__(
        self, conninfo: str, client: Mapping[str, str], masker: Masker
    ) -> None:
        self.conninfo = conninfo
        self.masker = masker
        self.database = Database(conninfo)
        self.publisher = Publisher(client)


Build = Callable[[Tools], Agent | Service]
