"""How far agents are behind."""

import pytest
from django.conf import settings

from agents.admin import Positions
from agents.broker import Producer
from agents.lags import Lags, lags_of
from agents.registry import AGENTS
from agents.topic_setup import ensure_topics
from agents.topics import TOPICS, USER_RAW
from controlplane.fresh import Fresh
from controlplane.home import backlog
from controlplane.home.backlog import read_backlog
from controlplane.traces.models import RecorderOffset
from tests.home.conftest import KafkaSays
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db


def seen(start: int, end: int) -> Positions:
    return Positions(
        starts={(USER_RAW, 0): start, (USER_RAW, 1): 0},
        ends={(USER_RAW, 0): end, (USER_RAW, 1): 7},
        committed={},
        recent=0,
    )


@pytest.mark.parametrize(
    ("committed", "lag"),
    [
        pytest.param({}, 27, id="from the beginning when nothing is committed"),
        pytest.param({(USER_RAW, 0): 20, (USER_RAW, 1): 7}, 10, id="from the commit"),
        pytest.param({(USER_RAW, 0): 3, (USER_RAW, 1): 7}, 20, id="retention took it"),
        pytest.param({(USER_RAW, 0): 31, (USER_RAW, 1): 7}, 0, id="ahead of the look"),
    ],
)
def test_lag_is_what_lies_between_an_agent_and_the_end(
    committed: dict[tuple[str, int], int], lag: int
) -> None:
    assert lags_of(seen(10, 30), {"input-guard": committed}) == {
        ("input-guard", USER_RAW): lag
    }


def test_only_what_an_agent_reads_counts() -> None:
    assert lags_of(seen(10, 30), {"gate": {}}).keys() <= {("gate", USER_RAW)}
    assert lags_of(seen(10, 30), {"output-guard": {}}) == {}


def test_the_recorders_offsets_are_those_in_postgresql(kafka_says: KafkaSays) -> None:
    kafka_says({("input-guard", USER_RAW): 12})
    RecorderOffset.objects.create(topic=USER_RAW, partition=0, next_offset=4)

    lags = read_backlog().lags

    assert lags is not None
    assert lags["recorder", USER_RAW] == 8
    assert lags["input-guard", USER_RAW] == 12


def test_dead_letters_are_told_per_minute(kafka_says: KafkaSays) -> None:
    kafka_says(recent=6)

    assert read_backlog().dead_letters_per_minute == pytest.approx(1.2)


def test_what_kafka_does_not_say_is_unknown(kafka_says: KafkaSays) -> None:
    kafka_says(error="Connection refused")

    told = read_backlog()

    assert (told.lags, told.dead_letters_per_minute) == (None, None)
    assert told.error == "Connection refused"


def test_asks_the_real_kafka_for_every_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> Lags | None:
        monkeypatch.setattr(backlog, "positions", Fresh(backlog._ask_kafka))
        return read_backlog().lags

    ensure_topics(settings.KAFKA, TOPICS.values(), create=True)
    before = wait_for(ask)  # a new Kafka makes its topic of offsets first
    producer = Producer(settings.KAFKA)
    for _ in range(3):
        producer.publish(
            USER_RAW, key=None, value=b"", headers=[], delivered=lambda _: None
        )
    assert producer.flush(10) == 0
    after = wait_for(ask)

    assert before is not None
    assert after is not None
    assert {agent for agent, _ in after} == AGENTS.keys() - {
        "mailer",
        "relay",
        "tripwire",
    }
    for agent in ("input-guard", "recorder"):
        assert after[agent, USER_RAW] == before[agent, USER_RAW] + 3


def test_a_kafka_that_is_nowhere_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "KAFKA", {"bootstrap.servers": "127.0.0.1:9"})

    assert "Broker transport failure" in str(backlog._ask_kafka())
