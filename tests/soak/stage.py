"""What a soak runs on: two workers that share the agents, two web processes, beat, and their services."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import psycopg

from controlplane.embedded import services
from controlplane.embedded.model import answers
from controlplane.embedded.services import Services
from tests.e2e.product import Process, Product, running
from tests.soak.counting_worker import STARTS
from tests.soak.load import HELD
from tests.waiting import wait_for

WORKERS, WEBS = 2, 2
DISCOUNT = "We can take 25 % off the E-Class if you sign today."  # held for a person

# A soak kills its services, so they are never somebody else's.
_ADDRESSES = (
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "REDIS_URL",
    "KAFKA_BOOTSTRAP_SERVERS",
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    "INTERLOCK_EMBEDDINGS_URL",
    "INTERLOCK_MODERATION_URL",
)

_LEADER = """
SELECT pid FROM runtime_heartbeat, jsonb_array_elements(agents) AS hosted
WHERE hosted->>'agent' = 'relay' AND hosted->>'why' = 'leading'
ORDER BY seen_at DESC LIMIT 1
"""


class Stage:
    """Every process by its place, so that whoever takes one away can put another there."""

    def __init__(self, product: Product, backing: Services) -> None:
        assert backing.ports is not None
        self.product = product
        self.backing = backing
        self.ports = [
            backing.ports.choose(f"soak-web-{number}", 8400) for number in range(WEBS)
        ]
        self.processes: dict[str, Process] = {}
        self.starts = product.logs / "starts"  # of the agents' handlers
        product.env[STARTS] = str(self.starts)
        product.worker_program = ("-m", "tests.soak.counting_worker")

    @property
    def sockets(self) -> list[str]:
        return [f"ws://127.0.0.1:{port}/ws/chat/" for port in self.ports]

    def start(self) -> None:
        self.product.port = self.ports[0]
        self.product.env["INTERLOCK_MESSAGES_PER_MINUTE"] = "100000"
        self.product.manage("prepare")
        self.product.switch_automatic_stops_off()
        self.script_model()
        for number in range(WORKERS):
            self.launch(f"worker-{number}")
        for number in range(WEBS):
            self.launch(f"web-{number}")
        self.product.start_beat()
        self.product.seed()
        for place in list(self.processes):
            self.await_ready(place)

    def script_model(self) -> None:
        """Make the model behave, as it does from the start."""
        self.product.forget_scripts()
        self.product.script(match=HELD, reply=DISCOUNT)

    def launch(self, place: str) -> None:
        kind, number = place.split("-")
        self.processes[place] = (
            self.product.launch_web(self.ports[int(number)])
            if kind == "web"
            else self.product.launch_worker()
        )

    def start_bad_worker(self, place: str, kind: str) -> None:
        """Put a worker there that does wrong, and wait for it."""
        module = ("-m", "tests.soak.bad_worker", kind)
        self.processes[place] = self.product.start("bad-worker", *module)
        self.await_ready(place)

    def await_ready(self, place: str) -> None:
        """Return when the process does its work, whatever else is broken meanwhile."""
        wait_for(lambda: self._is_ready(place), timeout_s=90, what=f"{place} ready")

    def place_of(self, target: str) -> str:
        """Return the target, or for the relay the worker where it leads, as far as one can tell."""
        if target != "relay":
            return target
        leaders = []
        with suppress(psycopg.OperationalError):
            leaders = self.product.sql(_LEADER)
        for place, process in self.processes.items():
            if leaders and process.pid == leaders[0][0]:
                return place
        return "worker-0"

    def _is_ready(self, place: str) -> bool:
        process = self.processes[place]
        if place.startswith("web"):
            port = self.ports[int(place.removeprefix("web-"))]
            return answers(f"http://127.0.0.1:{port}/healthz")
        with suppress(psycopg.OperationalError):
            return self.product.hosts(process.pid)
        return False


# One token decides for as many people as the users need.
BUSY_MODERATOR = {"INTERLOCK_API_REQUESTS_PER_MINUTE": "100000"}


@contextmanager
def on_stage(
    data_dir: Path, *, kafka_nodes: int = 1, say: Callable[[str], None] = print
) -> Iterator[Stage]:
    """Start the product on services of its own, and end all of it afterwards."""
    services.remove(data_dir)
    with patch.dict(os.environ):
        for name in _ADDRESSES:
            os.environ.pop(name, None)
        backing = services.start(data_dir, kafka_nodes=kafka_nodes, report=say)
    try:
        environment = backing.environment | BUSY_MODERATOR
        with running(Product(environment, data_dir / "product")) as product:
            stage = Stage(product, backing)
            stage.start()
            yield stage
    finally:
        backing.stop()
