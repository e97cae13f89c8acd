"""Looking at the real services."""

import time

import pytest
from django.test import override_settings

from controlplane.home.services import look

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
