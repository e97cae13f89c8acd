"""A correction: written, checked by the rules, confirmed with the list of who gets it, sent, watched."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from controlplane.audit.models import Entry
from controlplane.chat.models import Correction, CorrectionCopy
from controlplane.stops.models import Stop
from tests.factories import make_moderator, make_turn, sign_in_now
from tests.incidents.rows import (
    carry_out,
    locked_conversations,
    make_incident,
    make_reply,
    make_stop,
)
from tests.moderation.rows import allow, publish_rules

pytestmark = pytest.mark.django_db(transaction=True)

PHRASE = "?phrase=25+%25+off"
RIGHT = "We were wrong.\r\nThe list price stands."


@pytest.fixture
def mira(client: Client) -> User:
    publish_rules()
    user = make_moderator()
    sign_in_now(client, user)
    return user


def url(stop: Stop, name: str) -> str:
    return reverse(f"incidents:{name}", args=[stop.pk]) + PHRASE


def form(**fields: str) -> dict[str, str]:
    defaults = {
        "text": RIGHT,
        "reason": "never ours to give",
        "correction_id": "6b1d3b0e-7d5c-4b1e-9a53-2f0c6f5f2a41",
    }
    return defaults | fields


def confirmed(client: Client, stop: Stop, **fields: str) -> dict[str, str]:
    """Return what the form holds on the page that lists who gets it."""
    page = client.post(url(stop, "correct"), form(**fields)).content.decode()
    hidden = re.findall(
        r'<input type="hidden" name="(as_of|expected)" value="([^"]*)"', page
    )
    return form(**fields) | dict(hidden)


def states() -> dict[str, int]:
    rows = CorrectionCopy.objects.values_list("state", flat=True)
    return {state: list(rows).count(state) for state in rows}


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def test_it_is_sent_to_those_on_the_list_and_refused_where_they_have_moved_on(
    client: Client, mira: User
) -> None:
    stop = make_incident()
    assert "for 4 conversations" in text(client.get(url(stop, "correct")))
    page = text(client.post(url(stop, "correct"), form()))
    assert "Send this to 4 conversations?" in page
    assert page.count("asked 1 more") == 1

    response = client.post(url(stop, "send"), confirmed(client, stop))

    sent = Correction.objects.get()
    assert (sent.text, sent.written_by, sent.stop_id) == (
        "We were wrong.\nThe list price stands.",
        "mira",
        stop.pk,
    )
    watched = reverse("incidents:correction", args=[stop.pk, sent.pk])
    assert response["Location"] == watched
    assert "being delivered" in text(client.get(watched))
    carry_out()
    assert states() == {"delivered": 3, "refused": 1}
    page = text(client.get(watched, headers={"HX-Request-Type": "partial"}))
    assert page.startswith('<div id="correction"')
    assert "not everywhere" in page
    assert "The conversation has moved on." in page
    report = text(client.get(url(stop, "report")))
    assert "3 delivered" in report
    assert "refused: The conversation has moved on." in report

    client.post(reverse("incidents:confirm", args=[stop.pk, sent.pk]))
    carry_out()

    assert states() == {"delivered": 4}
    [written] = client.get(url(stop, "export")).json()["corrections"]
    assert {copy["state"] for copy in written["copies"]} == {"delivered"}
    assert "Send it to these all the same" not in text(client.get(watched))


def test_a_tick_sends_it_to_those_who_have_moved_on_too(
    client: Client, mira: User
) -> None:
    stop = make_incident()

    client.post(
        url(stop, "send"), confirmed(client, stop) | {"although_moved_on": "on"}
    )
    carry_out()

    assert states() == {"delivered": 4}


def test_what_was_asked_after_the_list_was_shown_has_moved_on_all_the_same(
    client: Client, mira: User
) -> None:
    reply = make_reply("25 % off")
    stop = make_stop()
    fields = confirmed(client, stop) | {"although_moved_on": "on"}
    make_turn(reply.conversation)

    client.post(url(stop, "send"), fields)
    carry_out()

    assert states() == {"refused": 1}


def test_another_list_than_the_one_that_was_seen_is_shown_again(
    client: Client, mira: User
) -> None:
    make_reply("25 % off")
    stop = make_stop()
    fields = confirmed(client, stop)

    response = client.post(url(stop, "send"), fields | {"expected": "3"})

    assert response.status_code == 409
    assert "it was 3 before. Look at it again." in text(response)
    assert not Correction.objects.exists()


def test_pressing_twice_sends_it_once(client: Client, mira: User) -> None:
    make_reply("25 % off")
    stop = make_stop()
    fields = confirmed(client, stop)

    first = client.post(url(stop, "send"), fields)
    second = client.post(url(stop, "send"), fields)

    assert first["Location"] == second["Location"]
    assert states() == {"owed": 1}
    other = client.post(url(stop, "send"), fields | {"text": "Another."})
    assert other.status_code == 422
    assert "Another text was sent from this form." in text(other)


def test_a_rule_holds_it_unless_somebody_may_override_that_and_does(
    client: Client, mira: User
) -> None:
    stop = make_incident()
    risky = {"text": "You get 30 % off instead."}

    for name in ("correct", "send"):
        fields = confirmed(client, stop) | risky | {"override": "on"}
        response = client.post(url(stop, name), fields)
        assert response.status_code == 422
        assert "A rule holds this text" in text(response)
        assert "Send it although" not in text(client.post(url(stop, name), risky))
    allow(mira, "override_guardrail")
    assert "Send it although" in text(client.post(url(stop, "correct"), form(**risky)))

    client.post(url(stop, "send"), confirmed(client, stop, **risky, override="on"))

    entry = Entry.objects.get(action="correction_written")
    assert "discount" in entry.detail["overridden"]
    assert Correction.objects.get().text == risky["text"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"text": ""}, "Write what they are to get."),
        ({"text": " \n"}, "Write what they are to get."),
        ({"reason": ""}, "Say why."),
        ({"text": "x" * 8_001}, "at most 8000 characters"),
    ],
)
def test_what_cannot_be_sent_is_said_beside_its_field(
    client: Client, mira: User, fields: dict[str, str], says: str
) -> None:
    make_reply("25 % off")
    stop = make_stop()

    for name in ("correct", "send"):
        response = client.post(url(stop, name), form(**fields))

        assert response.status_code == 422
        assert says in text(response)


def test_where_nobody_was_reached_there_is_nothing_to_correct(
    client: Client, mira: User
) -> None:
    stop = make_stop()
    assert "Write a correction" not in text(client.get(url(stop, "report")))

    response = client.post(url(stop, "send"), confirmed(client, stop))

    assert response.status_code == 422
    assert "There is nobody to correct." in text(response)


def test_it_may_be_changed_before_it_is_sent(client: Client, mira: User) -> None:
    make_reply("25 % off")
    stop = make_stop()

    page = text(client.post(url(stop, "correct"), form(edit="1")))

    assert "We were wrong." in page
    assert "See who gets it" in page


def test_a_correction_belongs_to_its_stop(client: Client, mira: User) -> None:
    make_reply("25 % off")
    stop, other = make_stop(), make_stop(mode="soft")
    client.post(url(stop, "send"), confirmed(client, stop))
    sent = Correction.objects.get()

    for name, method in (("correction", client.get), ("confirm", client.post)):
        address = reverse(f"incidents:{name}", args=[other.pk, sent.pk])
        assert method(address).status_code == 404
    assert client.get(url(stop, "correct") + "&since=x").status_code == 404


def test_what_is_locked_is_said(
    client: Client, mira: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = make_incident()
    client.post(url(stop, "send"), confirmed(client, stop))
    carry_out()
    sent = Correction.objects.get()
    monkeypatch.setattr("controlplane.chat.corrections.LOCK_MS", 50)

    with locked_conversations():
        response = client.post(reverse("incidents:confirm", args=[stop.pk, sent.pk]))

    assert response.status_code == 503
    assert "Send the rest again in a moment." in text(response)
