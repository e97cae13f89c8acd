"""What the palette finds for those who may read traces."""

from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import make_conversation, make_turn, make_user
from tests.traces_pages.making import make_record

pytestmark = pytest.mark.django_db


@pytest.fixture
def vera(client: Client) -> Client:
    client.force_login(make_user("vera", "viewer"))
    return client


def found(client: Client, asked: str) -> str:
    answer = client.get(reverse("home:jump"), {"q": asked})
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_a_trace_is_found_by_what_pages_show_of_its_id(vera: Client) -> None:
    turn = make_turn(text="What does it cost?", trace_id="4bf92f35" + "7" * 24)
    make_turn(trace_id="4bf92f36" + "0" * 24)

    for asked in ("4bf92f35", turn.trace_id, f" {turn.trace_id.upper()} "):
        text = found(vera, asked)
        assert reverse("traces:trace", args=[turn.trace_id]) in text
        assert "What does it cost?" in text
        assert text.count('role="option"') == 1


def test_the_latest_turns_of_a_conversation_are_found(vera: Client) -> None:
    conversation = make_conversation(id="c_88213")
    turns = [make_turn(conversation, text=f"question {n}") for n in range(1, 12)]

    text = found(vera, "c_88213")

    assert text.count('role="option"') == 8
    assert turns[0].trace_id not in text
    assert text.index("question 11") < text.index("question 10")


def test_a_trace_of_no_turn_is_found_by_its_whole_id(vera: Client) -> None:
    trace_id = uuid4().hex
    make_record(trace_id, "sales-events")

    assert "Trace of no turn" in found(vera, trace_id)
    assert found(vera, trace_id[:8]) == ""


@pytest.mark.parametrize(
    "asked", ["", "4bf9", "c_nobody", "\x00", "'; DROP TABLE", "f" * 5_000]
)
def test_what_is_nothing_finds_nothing(vera: Client, asked: str) -> None:
    make_turn()

    assert found(vera, asked) == ""
