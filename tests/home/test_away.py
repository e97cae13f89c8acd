"""The control room while a real service is stopped: it says what is wrong, and what goes on."""

from collections.abc import Iterator

import pytest
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.test import Client

from controlplane.embedded.services import Services
from controlplane.fresh import Fresh
from controlplane.home import backlog, room, views
from controlplane.home.services import look
from controlplane.runtime.models import ControlVersion
from tests.factories import make_user
from tests.home.making import make_heartbeat

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _looks_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what earlier tests saw."""
    watch = Fresh(look)
    monkeypatch.setattr(room, "watch", watch)
    monkeypatch.setattr(views, "watch", watch)
    monkeypatch.setattr(backlog, "positions", Fresh(backlog._ask_kafka))


@pytest.fixture
def vera(client: Client) -> Client:
    ControlVersion.objects.get_or_create(pk=1)
    make_heartbeat(age_s=-60)  # stays alive while a service stops
    client.force_login(make_user("vera", "viewer"))
    return client


@pytest.fixture
def without_kafka(services: Services) -> Iterator[None]:
    assert services.kafka
    services.kafka.nodes[0].stop()
    yield
    services.kafka.nodes[0].start()


@pytest.fixture
def without_valkey(services: Services) -> Iterator[None]:
    assert services.valkey
    services.valkey.stop()
    yield
    services.valkey.start()


@pytest.fixture
def without_postgresql(vera: Client, services: Services) -> Iterator[None]:
    assert services.postgres
    services.postgres.stop()
    yield
    services.postgres.start()
    connections.close_all()
    connections["default"].close_pool()  # type: ignore[attr-defined]


def text_of(client: Client, path: str, status: int) -> str:
    response = client.get(path)
    assert response.status_code == status
    return " ".join(response.content.decode().split())


@pytest.mark.usefixtures("without_kafka")
def test_without_kafka_lag_is_unknown_and_the_pages_go_on(vera: Client) -> None:
    for path in ("/", "/room/"):
        text = text_of(vera, path, 200)

        assert "Kafka does not answer." in text
        assert "Held answers can still be decided" in text
        assert '<b class="figure">unknown</b>' in text
        assert '<b class="figure">4 of 5</b>' in text
        assert "Nothing is wrong" not in text

    metrics = text_of(vera, "/metrics", 200)
    assert "kafka_consumer_lag{" not in metrics
    assert 'interlock_alert_active{alert="lag"}' not in metrics
    assert 'interlock_alert_active{alert="restarts"} 0.0' in metrics
    assert "interlock_turns_unfinished 0.0" in metrics


@pytest.mark.usefixtures("without_valkey")
def test_without_valkey_the_page_says_what_goes_on(vera: Client) -> None:
    text = text_of(vera, "/", 200)

    assert "Valkey does not answer." in text
    assert "Agents and deliveries go on" in text


@pytest.mark.usefixtures("without_postgresql")
def test_without_postgresql_the_page_says_what_that_means(vera: Client) -> None:
    text = text_of(vera, "/", 503)

    assert "The database does not answer" in text
    assert "nothing is delivered to users" in text
    assert '<a class="button first" href="/">Try again</a>' in text
    assert vera.get("/room/").status_code == 503  # the open page's note says so
    assert vera.get("/readyz").json()["missing"] == ["postgresql", "agents"]


@pytest.mark.usefixtures("without_postgresql")
def test_a_page_waits_for_postgresql_once(
    vera: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may fall silent: each try takes as long as the pool lets anybody wait."""
    tries: list[object] = []
    connect = DatabaseWrapper.get_new_connection

    def counted(self: DatabaseWrapper, parameters: object) -> object:
        tries.append(parameters)
        return connect(self, parameters)

    monkeypatch.setattr(DatabaseWrapper, "get_new_connection", counted)
    connections["default"].close()

    assert vera.get("/").status_code == 503
    assert len(tries) == 1
