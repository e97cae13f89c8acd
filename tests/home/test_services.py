"""Looking at the real services."""

import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.conf import settings
from django.test import override_settings
from msgspec.structs import replace

from agents.scorers.settings import ScorerSettings
from controlplane.home.services import Dated, Service, look
from tests.home.making import all_up

pytestmark = pytest.mark.django_db


def test_every_service_answers_in_a_measured_time() -> None:
    seen = {service.name: service for service in look()}

    assert set(seen) == {"postgresql", "kafka", "valkey", "model", "scorers"}
    assert all(service.is_up for service in seen.values()), seen
    assert re.fullmatch(r"\d+\.\d+", seen["postgresql"].about)
    assert seen["kafka"].about == "1 broker"
    assert re.fullmatch(r"\d+\.\d+\.\d+", seen["valkey"].about)
    assert seen["model"].about == seen["scorers"].about == "demo model"


def test_since_when_a_service_is_away_is_remembered() -> None:
    looks = [all_up(), all_up(), all_up("kafka"), all_up("kafka"), all_up()]
    dated = Dated(lambda: looks.pop(0))

    seen = [{each.name: each.since for each in dated()} for _ in range(5)]

    kafka = [each["kafka"] for each in seen]
    assert kafka[0] == kafka[1]
    assert kafka[2] == kafka[3]
    assert len({kafka[0], kafka[2], kafka[4]}) == 3
    assert len({each["valkey"] for each in seen}) == 1


def test_what_is_down_says_why_and_soon() -> None:
    nowhere = "127.0.0.1:9"
    with override_settings(
        KAFKA={"bootstrap.servers": nowhere},
        REDIS_URL=f"redis://{nowhere}/0",
        OPENAI_BASE_URL=f"http://{nowhere}/v1",
        SCORERS=scorers_at(f"http://{nowhere}/v1"),
    ):
        started_s = time.monotonic()
        down = {service.name: service for service in look() if not service.is_up}

    assert set(down) == {"kafka", "valkey", "model", "scorers"}
    assert all(service.error and service.without for service in down.values())
    assert time.monotonic() - started_s < 3


def scorers_at(moderation_url: str) -> ScorerSettings:
    """Return scorers that are where they were, but for one."""
    moderation = replace(settings.SCORERS.moderation, base_url=moderation_url)
    return replace(settings.SCORERS, moderation=moderation)


def test_a_scorer_that_is_away_is_named_though_the_model_answers() -> None:
    with override_settings(SCORERS=scorers_at("http://127.0.0.1:9/v1")):
        seen = {service.name: service for service in look()}

    assert seen["model"].is_up
    assert not seen["scorers"].is_up
    assert seen["scorers"].error.startswith("The moderation endpoint: ")
    assert "held for a person" in seen["scorers"].without


@contextmanager
def saying(answer: bytes) -> Iterator[str]:
    """A model backend that says this to the first who asks."""

    def serve() -> None:
        connection, _ = listening.accept()
        with connection, connection.makefile("rb") as asked:
            while asked.readline().strip():
                pass
            connection.sendall(answer)

    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        ThreadPoolExecutor(1) as pool,
    ):
        listening.settimeout(10)
        served = pool.submit(serve)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        served.result()


def seen_model(url: str, key: str = "demo") -> Service:
    with override_settings(OPENAI_BASE_URL=url, OPENAI_API_KEY=key):
        [model] = [service for service in look() if service.name == "model"]
    return model


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n{}", "HTTP Error 401: Unauthorized"),
        (b"HTTP/1.1 500 Broken\r\n\r\n{}", "HTTP Error 500: Broken"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH_9.2"),
        (b"", "Remote end closed connection without response"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", ""),
    ],
    ids=str,
)
def test_a_model_backend_is_up_only_if_it_says_so(answer: bytes, error: str) -> None:
    with saying(answer) as url:
        model = seen_model(url)

    assert model.error == error
    assert model.is_up == (not error)


def test_the_key_follows_no_redirect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0)
        place = f"http://127.0.0.1:{other.getsockname()[1]}/v1/models"
        with saying(f"HTTP/1.1 302 Found\r\nlocation: {place}\r\n\r\n".encode()) as url:
            assert seen_model(url).error == "HTTP Error 302: Found"
        with pytest.raises(BlockingIOError):  # nobody came
            other.accept()


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with saying(b"HTTP/1.1 200 OK\r\n\r\n{}") as url:
        assert seen_model(url).is_up


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("", "demo"),
        ("127.0.0.1:1/v1", "demo"),
        ("http://[::1/v1", "demo"),
        ("http://127.0.0.1:x/v1", "demo"),
        ("http://127.0.0.1:1/v1", "sk-very-secret\n"),
        ("http://127.0.0.1:1/v1", "sk-very-secret-\N{EURO SIGN}"),
    ],
)
def test_an_address_or_a_key_that_is_none_is_an_error_without_the_key(
    url: str, key: str
) -> None:
    model = seen_model(url, key)

    assert not model.is_up
    assert model.error
    assert "secret" not in model.error
