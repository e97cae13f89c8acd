"""An agent that paused itself, or that ended, says why in the control room."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from agents import topics
from agents.agent import Context, Event, Send
from tests.agents.stage import Stage
from tests.factories import make_user
from tests.home.making import make_heartbeat
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db


def fail(event: Event[Any], ctx: Context) -> Iterator[Send]:
    raise ValueError("the model is gone")


def room(client: Client, status: dict[str, Any]) -> str:
    make_heartbeat([status])
    client.force_login(make_user("vera", "viewer"))
    return " ".join(client.get("/").content.decode().split())


def test_too_many_failures_in_a_row_are_said_in_the_control_room(
    stage: Stage, client: Client
) -> None:
    agent = stage.agent(handle=fail, attempts=1)
    runner = stage.start(agent).runner
    stage.send_all(agent.reads[0], ["a"] * 50)
    wait_for(lambda: runner.status()["state"] == "held")

    page = room(client, runner.status())

    why = "20 records in a row failed: ValueError(&#x27;the model is gone&#x27;)"
    assert f"{agent.name} is held: {why}." in page


def test_a_letter_that_could_not_be_written_is_said_in_the_control_room(
    stage: Stage, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = stage.topic("letters", contract=None, max_bytes=100)
    monkeypatch.setattr(topics, "DEAD_LETTERS", letters)
    agent = stage.agent(handle=fail, attempts=1)
    runner = stage.start(agent).runner
    stage.send_all(agent.reads[0], ["a"])
    wait_for(lambda: runner.status()["state"] == "broken")

    page = room(client, runner.status())

    assert f"{agent.name} has ended: a dead letter could not be written" in page
