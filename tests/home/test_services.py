"""Looking at the real services."""

import time

import pytest
from django.test import override_settings

from controlplane.home import services as watched
from controlplane.home.services import Service, Watch, look

pytestmark = pytest.mark.django_db


def test_every_service_answers_in_a_measured_time() -> None:
    seen = {service.name: service for service in look()}

    assert set(seen) == {"postgresql", "kafka", "valkey", "model"}
    assert all(service.is_up for service in seen.values()), seen


def test_what_is_down_says_why_and_soon() -> None:
    nowhere = "127.0.0.1:9"
    with override_settings(
        KAFKA={"bootstrap.servers": nowhere},
        REDIS_URL=f"redis://{nowhere}/0",
        OPENAI_BASE_URL=f"http://{nowhere}/v1",
    ):
        started_s = time.monotonic()
        down = {service.name: service for service in look() if not service.is_up}

    assert set(down) == {"kafka", "valkey", "model"}
    assert all(service.error and service.without for service in down.values())
    assert time.monotonic() - started_s < 3


def test_looks_at_most_every_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def look_once() -> list[Service]:
        looks.append(1)
        return []

    monkeypatch.setattr(watched, "look", look_once)
    watch = Watch()

    watch.services()
    watch.services()
    assert len(looks) == 1

    watch._seen_at_s -= watched.FRESH_S + 0.1
    watch.services()
    assert len(looks) == 2
