"""Starts the demo model as a process of its own, and clients to talk to it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from openai import AsyncOpenAI, OpenAI

KNOWLEDGE = Path("controlplane/embedded/knowledge/dealer.md")


@dataclass(frozen=True)
class DemoModel:
    """A running demo model and its controls."""

    process: subprocess.Popen[str]
    root: str

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    def client(self, **options: Any) -> OpenAI:
        return OpenAI(base_url=self.url, api_key="demo", max_retries=0, **options)

    def async_client(self) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=self.url, api_key="demo", max_retries=0)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.root + path, data, method=method)  # noqa: S310
        with urlopen(request, timeout=20) as answer:  # noqa: S310
            return json.load(answer)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=10)

    def script(self, **orders: Any) -> None:
        self.call("POST", "/control/script", orders)

    def requests(self, match: str, **query: Any) -> list[dict[str, Any]]:
        path = f"/control/requests?{urlencode({'match': match, **query})}"
        found: list[dict[str, Any]] = self.call("GET", path)["requests"]
        return found

    def finished(self, match: str, count: int = 1) -> list[dict[str, Any]]:
        return self.requests(match, at_least=count, finished=1)


@contextmanager
def running_model(*options: str) -> Iterator[DemoModel]:
    command = [
        sys.executable,
        "-m",
        "controlplane.embedded.model_server",
        "--port",
        "0",
    ]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        found = re.search(r"(http://\S+)/v1", process.stdout.readline())
        assert found
        model = DemoModel(process, found[1])
        try:
            yield model
        finally:
            model.stop()


@pytest.fixture(scope="session")
def model() -> Iterator[DemoModel]:
    with running_model() as running:
        yield running


@pytest.fixture
def openai_client(model: DemoModel) -> Iterator[OpenAI]:
    with model.client() as client:
        yield client


@pytest.fixture(scope="session")
def shown() -> str:
    """What a responder shows the model: instructions, then knowledge."""
    instructions = "You are the assistant of a Mercedes dealer. Answer only from this:"
    return f"{instructions}\n<knowledge>\n{KNOWLEDGE.read_text()}\n</knowledge>"
