"""The backing services: whether each answers, how fast, and what it means when one does not."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import (
    HTTPRedirectHandler,
    ProxyHandler,
    Request,
    build_opener,
)

import msgspec
import psycopg
from django.conf import settings
from django.utils import timezone
from redis import Redis, RedisError, ResponseError

from agents import admin
from agents.broker import BrokerError
from agents.host import conninfo
from controlplane.fresh import Fresh

TIMEOUT_S = 1.0


class ModelError(Exception):
    """The model's endpoint did not answer, or with an error."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """latency_ms is None for a service that did not answer; without says what that means.

    about: its version, or what else tells it from others. since: as long as this process has seen it so.
    """

    name: str
    title: str
    without: str
    latency_ms: float | None = None
    error: str = ""
    about: str = ""
    since: datetime | None = None

    @property
    def is_up(self) -> bool:
        return self.latency_ms is not None


POSTGRESQL = Service(
    name="postgresql",
    title="PostgreSQL",
    without="Nothing is delivered and no decision can be recorded. Agents start nothing"
    " after 3 s; what is in Kafka stays there and goes on afterwards.",
)
KAFKA = Service(
    name="kafka",
    title="Kafka",
    without="Agents get no records and users' new messages are not accepted. Held answers"
    " can still be decided; the decisions leave when Kafka is back.",
)
VALKEY = Service(
    name="valkey",
    title="Valkey",
    without="Pages and widgets are not told of news and overdue work is picked up late."
    " Agents and deliveries go on; a reload shows what came.",
)
MODEL = Service(
    name="model",
    title="Model backend",
    without="Agents get no answers from the model: users get their tier's fallback text."
    " Held answers can still be decided.",
)

SCORERS = Service(
    name="scorers",
    title="Guardrail scorer",
    without="What a rule needs a score for (a topic, toxicity, a judge) is held for a person."
    " Messages whose rules need none go on.",
)


def look() -> list[Service]:
    probes = [
        (POSTGRESQL, _ask_postgresql),
        (KAFKA, _ask_kafka),
        (VALKEY, _ask_valkey),
        (MODEL, _ask_model),
        (SCORERS, _ask_scorers),
    ]
    with ThreadPoolExecutor(len(probes)) as pool:
        return list(pool.map(lambda probe: _measure(*probe), probes))


def _measure(service: Service, ask: Callable[[], str]) -> Service:
    started_s = time.perf_counter()
    try:
        about = ask()
    except (psycopg.Error, BrokerError, RedisError, ModelError) as error:
        return msgspec.structs.replace(service, error=_first_line(error))
    latency_ms = (time.perf_counter() - started_s) * 1000
    return msgspec.structs.replace(service, latency_ms=latency_ms, about=about)


def _ask_postgresql() -> str:
    # psycopg waits at least two seconds for a connection.
    with psycopg.connect(conninfo(), connect_timeout=2) as connection:
        connection.execute("SELECT 1")
        major, minor = divmod(connection.info.server_version, 10_000)
        return f"{major}.{minor}"


def _ask_kafka() -> str:
    brokers = admin.ping(settings.KAFKA | {"log_level": "0"}, TIMEOUT_S)
    return f"{brokers} broker{'' if brokers == 1 else 's'}"


def _ask_valkey() -> str:
    with Redis.from_url(
        settings.REDIS_URL, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
    ) as client:
        client.ping()
        return _version_of(client)


def _version_of(client: Redis) -> str:
    """Older servers do not know the word."""
    try:
        said = client.execute_command("HELLO")  # type: ignore[no-untyped-call]
    except ResponseError:
        return ""
    known = (
        said
        if isinstance(said, dict)
        else dict(zip(said[::2], said[1::2], strict=True))
    )
    return str(known[b"version"].decode())


def _ask_model() -> str:
    return _ask_for_models(settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY)


def _ask_scorers() -> str:
    """Ask each host that has one; the first that does not answer is named."""
    given = settings.SCORERS
    asked = {
        (e.base_url, e.key): e
        for e in (given.judge, given.moderation, given.embeddings)
    }
    said = dict[str, None]()
    for endpoint in asked.values():
        try:
            said[_ask_for_models(endpoint.base_url, endpoint.key)] = None
        except ModelError as error:
            raise ModelError(f"{endpoint.name}: {error}") from error
    return ", ".join(said)


def _ask_for_models(base_url: str, key: str) -> str:
    """Ask as the workers do: by no proxy, and with the key for this host alone."""
    opener = build_opener(ProxyHandler({}), _NoRedirects)
    try:
        request = Request(  # noqa: S310  # the configured endpoint
            f"{base_url.rstrip('/')}/models",
            headers={"Authorization": f"Bearer {key or 'none'}"},
        )
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            is_demo = answer.headers.get("x-interlock-demo-model")
    except HTTPError as error:
        error.close()
        raise ModelError(str(error)) from error
    except (OSError, HTTPException) as error:
        raise ModelError(str(error)) from error
    except ValueError as error:  # which may repeat the key
        raise ModelError("The address or the key is not valid.") from error
    return "demo model" if is_demo else request.host


class _NoRedirects(HTTPRedirectHandler):
    """Makes of a redirect the error that it is here."""

    def redirect_request(self, *_: object) -> None:
        return None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


class Dated:
    """Remembers in this process since when each service has been up or down."""

    def __init__(self, look: Callable[[], list[Service]]) -> None:
        self._look = look
        self._since: dict[tuple[str, bool], datetime] = {}

    def __call__(self) -> list[Service]:
        now = timezone.now()
        seen = [(each.name, each.is_up, each) for each in self._look()]
        self._since = {
            (name, is_up): self._since.get((name, is_up), now)
            for name, is_up, _ in seen
        }
        return [
            msgspec.structs.replace(each, since=self._since[name, is_up])
            for name, is_up, each in seen
        ]


watch: Fresh[list[Service]] = Fresh(Dated(look))
