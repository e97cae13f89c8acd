"""The pages of outgoing mail: who may look, what is found, what is decided, what is refused."""

import re
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from controlplane.effects import pages
from controlplane.effects.models import Effect, ListedEffect
from controlplane.environment import MailServer
from controlplane.runtime.models import Heartbeat
from tests.effects.making import make_effect, states, stop
from tests.factories import make_admin, make_moderator, make_user
from tests.home.making import make_heartbeat, make_status

pytestmark = pytest.mark.django_db

LIST = "/effects/"
DECIDE = "/effects/decide/"
PREVIEW = "/effects/preview/"
SERVER = MailServer("mail.example", 587, "", "", "starttls", "us@interlock.example")


@pytest.fixture
def mira(client: Client) -> User:
    user = make_moderator()
    client.force_login(user)
    return user


def text(client: Client, path: str = LIST) -> str:
    return plain(client.get(path).content.decode())


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def of(effect: Effect) -> str:
    return reverse("effects:effect", args=[effect.pk])


@pytest.mark.parametrize("role", ["viewer", "moderator", "lead", "admin", "auditor"])
def test_everybody_with_a_role_looks_and_some_decide(client: Client, role: str) -> None:
    effect = make_effect("bo", state="held")
    client.force_login(make_user("somebody", role))
    may_decide = role in {"moderator", "lead", "admin"}

    for path in (LIST, of(effect)):
        response = client.get(path)
        assert response.status_code == 200
        assert (b'type="submit" name="verb"' in response.content) is (
            may_decide and path != LIST
        )
    given = {"effects": effect.pk, "verb": "send", "reason": "fine"}
    assert client.post(PREVIEW, given).status_code == (200 if may_decide else 403)
    assert client.post(DECIDE, given).status_code == (302 if may_decide else 403)
    assert states() == {"bo": "waiting" if may_decide else "held"}


def test_the_list_begins_with_what_needs_a_person_and_counts_each_state(
    client: Client, mira: User
) -> None:
    for name, state in {
        "a": "held",
        "b": "unknown",
        "c": "failed",
        "d": "sent",
    }.items():
        make_effect(name, state=state)
    make_effect("e")

    html = text(client)

    assert "Needs a person 3 Held 1 Unknown 1 Failed 1 Waiting 1" in html
    assert "Sent 1 Dropped 0 All 5" in html
    assert [effect.recipient[0] for effect in client.get(LIST).context["effects"]] == [
        "c",
        "b",
        "a",
    ]
    assert "Mail 3 need a person" in html


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=held", "a"),
        ("state=all", "abc"),
        ("words=A%40CUSTOMER", "a"),
        ("words=offer,%20b", "b"),
        ("agent=pitcher&state=all", "c"),
        ("agent=nobody&state=all", ""),
    ],
)
def test_the_filter_finds(client: Client, mira: User, query: str, found: str) -> None:
    make_effect("a", state="held")
    make_effect("b", state="unknown")
    make_effect("c", agent="pitcher")

    context = client.get(f"{LIST}?{query}").context

    assert sorted(each.recipient[0] for each in context["effects"]) == list(found)


@pytest.mark.parametrize("query", ["state=lost", "stop=x", "words=" + "x" * 201])
def test_a_filter_that_makes_no_sense_is_said_so(
    client: Client, mira: User, query: str
) -> None:
    response = client.get(f"{LIST}?{query}")

    assert response.status_code == 422
    assert "cannot be understood" in response.content.decode()


def test_paging_shows_each_mail_once(
    client: Client, mira: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE", 2)
    for number in range(5):
        make_effect(str(number), state="held")
    seen: list[str] = []
    path = f"{LIST}?state=held"
    while path:
        context = client.get(path).context
        seen += [each.recipient[0] for each in context["effects"]]
        path = context["older"] and f"{LIST}{context['older']}"

    assert seen == list("43210")
    assert client.get(f"{LIST}?before=x").status_code == 200


def test_the_list_costs_the_same_for_one_mail_or_ten(
    client: Client, mira: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    halted = stop(make_admin())
    make_effect("a", state="held", stop=halted)
    with django_assert_num_queries(14) as first:
        client.get(LIST)
    for number in range(9):
        make_effect(str(number), state="held", stop=halted)
    with django_assert_num_queries(len(first)):
        client.get(LIST)


def test_it_says_what_keeps_mail_from_going_out(
    client: Client, mira: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No mail server is set, so nothing goes out" in text(client)
    monkeypatch.setattr(settings, "MAIL_SERVER", SERVER)
    assert "No mailer runs, so nothing goes out" in text(client)
    make_heartbeat(agents=[make_status("mailer", state="held", why="waiting: away")])
    html = text(client)
    assert "1 mailer sends through mail.example:587 as us@interlock.example" in html
    assert "One is waiting: away" in html
    Heartbeat.objects.all().delete()


def test_an_empty_list_says_that_nothing_is_wrong(client: Client, mira: User) -> None:
    assert "No mail needs a person" in text(client)
    assert "No mail matches" in text(client, f"{LIST}?words=x")
    assert "writing to email.send" in text(client, f"{LIST}?state=sent")


def test_one_mail_tells_everything_about_itself(
    client: Client, mira: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "MAIL_SERVER", SERVER)
    halted = stop(make_admin())
    effect = make_effect("bo", state="unknown", error="It broke.", text="<b>hello</b>")
    ListedEffect.objects.create(stop=halted, effect=effect, was_unknown=True)

    html = text(client, of(effect))

    assert "Nobody here knows whether it went out. It broke." in html
    assert f"<{effect.record_id}@interlock.example>" in html
    assert "<b>hello</b>" in html
    assert "Being sent at the proof of hard stop: everything" in html
    assert effect.trace_id in html
    assert client.get(f"{LIST}999/").status_code == 404
    assert client.get(f"{LIST}{2**70}/").status_code == 404


def test_many_are_looked_at_before_they_are_decided_on(
    client: Client, mira: User
) -> None:
    for name in "abc":
        make_effect(name, state="held", text=f"text of {name}")
    make_effect("d", state="unknown")

    shown = client.post(f"{PREVIEW}?state=held", {"scope": "matching"})

    html = plain(shown.content.decode())
    assert "Decide on 3 mails" in html
    assert all(f"text of {name}" in html for name in "abc")
    ids = [effect.pk for effect in shown.context["effects"]]
    done = client.post(
        DECIDE, {"effects": ids, "verb": "send", "reason": "checked"}, follow=True
    )
    assert "3 mails put on the way." in done.content.decode()
    assert states() == {"a": "waiting", "b": "waiting", "c": "waiting", "d": "unknown"}


def test_choosing_nothing_is_said_and_changes_nothing(
    client: Client, mira: User
) -> None:
    effect = make_effect("a", state="held")

    response = client.post(PREVIEW, {})
    assert response.status_code == 422
    assert "Choose mails first" in response.content.decode()
    gone = client.post(PREVIEW, {"effects": effect.pk + 1})
    assert "None of these mails is there any more" in gone.content.decode()
    for odd in ("x", "0", str(2**70)):
        assert client.post(PREVIEW, {"effects": odd}).status_code == 422
    many: dict[str, Any] = {"effects": list(range(1, 203))}
    assert b"Choose 200 mails at most" in client.post(PREVIEW, many).content


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"verb": "send"}, "Say why."),
        ({"reason": "x"}, "Press what is to be done."),
        ({"verb": "resend", "reason": "x"}, "not one of the available choices"),
    ],
)
def test_a_decision_without_its_parts_is_refused_with_what_was_written(
    client: Client, mira: User, given: dict[str, str], says: str
) -> None:
    effect = make_effect("a", state="held")

    response = client.post(DECIDE, {"effects": effect.pk, **given})

    assert response.status_code == 422
    assert says in response.content.decode()
    if "reason" in given:
        assert 'value="x"' in response.content.decode()
    assert states() == {"a": "held"}


def test_who_comes_second_reads_who_was_first(client: Client, mira: User) -> None:
    one, two, three = (make_effect(name, state="held") for name in "abc")
    given = {"verb": "drop", "reason": "spam"}
    client.post(DECIDE, {"effects": one.pk, **given})

    alone = client.post(DECIDE, {"effects": one.pk, "verb": "send", "reason": "x"})
    assert alone.status_code == 409
    assert "It is dropped by mira." in alone.content.decode()
    client.post(DECIDE, {"effects": two.pk, **given})
    ids = [one.pk, two.pk, three.pk]
    many = client.post(DECIDE, {"effects": ids, "verb": "send", "reason": "x"})

    assert many.status_code == 409
    html = plain(many.content.decode())
    assert "1 mail put on the way; what is below was left." in html
    assert html.count("It is dropped by mira.") == 2
    assert states() == {"a": "dropped", "b": "dropped", "c": "waiting"}
    assert client.post(DECIDE, {"effects": 999, **given}).status_code == 302


def test_a_stops_page_tells_which_mails_it_holds_and_which_are_unknown(
    client: Client, mira: User
) -> None:
    halted = stop(make_admin())
    path = reverse("stops:stop", args=[halted.pk])
    assert "none held" in text(client, path)
    make_effect("a", state="held", stop=halted)
    make_effect("b", state="waiting", stop=halted)
    for name, state in (("c", "unknown"), ("d", "sent")):
        effect = make_effect(name, state=state, record_id=str(uuid4()))
        ListedEffect.objects.create(stop=halted, effect=effect, was_unknown=True)

    html = text(client, path)

    assert "1 held, for people to decide" in html
    assert "Being sent when the way was closed: 2." in html
    assert "Of 1 nobody knows whether it went out." in html
    assert "d@customer.example known since" in html
    assert "It has held 2 in all" in html
    assert client.get(f"{LIST}?state=held&stop={halted.pk}").context["effects"]
