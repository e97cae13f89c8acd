"""/stops/<id>/report/: what happened when, who was reached, what is owed; and what is taken away of it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from controlplane.audit.models import Entry
from controlplane.chat.models import Outcome, Received
from controlplane.deadletters.models import Letter
from controlplane.effects.models import Effect, ListedEffect
from controlplane.incidents import pages, report, views
from controlplane.incidents.lines import excerpt
from controlplane.incidents.reached import Query
from controlplane.stops import actions
from controlplane.stops.models import Stop
from tests.bench.page_rows import _letter
from tests.factories import (
    make_admin,
    make_approval,
    make_conversation,
    make_moderator,
    make_turn,
    make_user,
)
from tests.incidents.rows import ago, make_incident, make_reply, make_stop

pytestmark = pytest.mark.django_db(transaction=True)

PHRASE = "?phrase=25+%25+OFF"


@pytest.fixture
def vera(client: Client) -> User:
    user = make_user("vera", "viewer")
    client.force_login(user)
    return user


def url(stop: Stop, name: str = "report") -> str:
    return reverse(f"incidents:{name}", args=[stop.pk])


def get(client: Client, stop: Stop, query: str = "") -> str:
    response = client.get(url(stop) + query)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def exported(client: Client, stop: Stop, query: str = "") -> Any:
    response = client.get(url(stop, "export") + query)
    assert (
        response["Content-Disposition"]
        == f'attachment; filename="report-{stop.pk}.json"'
    )
    return response.json()


def test_the_report_says_what_happened_who_was_reached_and_what_is_owed(
    client: Client, vera: User
) -> None:
    stop = make_incident()
    actions.release_stop(stop, reason="prices are right", releaser="ida")

    page = get(client, stop, PHRASE)
    said = exported(client, stop, PHRASE)

    assert [step["name"] for step in said["timeline"]] == [
        "First bad reply",
        "Reported by a person",
        "Ordered",
        "Proven",
        "Release ordered",
        "Released",
    ]
    assert "1 reply went out since the request" in page
    assert all(step["at"] for step in said["timeline"])
    assert said["timeline"][0]["at"] == said["reached"][0]["at"]
    assert said["totals"] == {
        "replies": 4,
        "conversations": 4,
        "reviewed": 1,
        "first_at": said["reached"][0]["at"],
        "not_indexed": 0,
    }
    assert said["reached"][0]["rules"] == ["discount-free"]
    assert said["reached"][0]["backends"] == ["demo-fast"]
    for line in said["reached"]:
        assert line["conversation"] in page
        assert reverse("traces:trace", args=[line["trace_id"]]) in page
    owed = {group["slug"]: group["debts"] for group in said["owed"]}
    assert {slug: len(debts) for slug, debts in owed.items()} == {
        "held": 1,
        "failed": 1,
        "open": 2,
        "unknown": 1,
        "mail": 0,
        "corrections": 0,
    }
    assert owed["held"][0]["owner"] == "team discount"
    assert owed["unknown"][0]["state"] == "now: on its way"
    for debts in owed.values():
        assert all(debt["url"] in page for debt in debts)
    assert {entry["action"] for entry in said["log"]} >= {
        "stop_requested",
        "stop_proven",
    }


def test_nothing_says_what_was_bad_until_somebody_does(
    client: Client, vera: User
) -> None:
    make_reply("too old", at=ago(minutes=61))
    make_reply("within the hour", at=ago(minutes=59))
    stop = make_stop()

    page = get(client, stop)

    assert "not known: say below what was bad" in page
    assert "one hour before the request, as nothing says yet what was bad" in page
    assert "now, for the stop is not proven yet." in page
    assert "within the hour" in page
    assert "too old" not in page


def test_a_filter_looks_back_for_a_day_and_a_person_for_as_long_as_he_likes(
    client: Client, vera: User
) -> None:
    make_reply("bad: too old", at=ago(hours=25))
    first = make_reply("BAD <b>", at=ago(hours=23))
    stop = make_stop()

    page = get(client, stop, "?phrase=bad")

    assert "the first match within 24 hours before the request" in page
    assert "<mark>BAD</mark> &lt;b&gt;" in page
    assert first.conversation_id in page
    assert "too old" not in page
    since = f"{ago(hours=26):%Y-%m-%dT%H:%M:%S}"
    page = get(client, stop, f"?phrase=bad&since={since}")
    assert "as chosen" in page
    assert "too old" in page
    assert "No reply matches" in get(client, stop, "?phrase=worse")
    assert "Nobody was reached" in get(client, stop, f"?until={since}")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("?since=tomorrow", "Enter a valid date/time."),
        ("?since=2026-11-02T10:00&until=2026-11-01T10:00", "It ends before it begins."),
        ("?phrase=%00", "Null characters are not allowed."),
    ],
)
def test_what_cannot_be_understood_finds_nobody(
    client: Client, vera: User, query: str, says: str
) -> None:
    reply = make_reply("hello")
    stop = make_stop()

    for name in ("report", "print", "export"):
        response = client.get(url(stop, name) + query)

        assert response.status_code == 422
        page = response.content.decode()
        assert says in page
        assert reply.conversation_id not in page
        assert "As JSON" not in page
    assert not Entry.objects.filter(action="report_exported").exists()


def test_pages_follow_each_other_and_every_reply_is_on_one(
    client: Client, vera: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "PAGE", 2)
    at = ago(minutes=3)
    replies = [make_reply(f"bad {n}", at=at) for n in range(5)]
    stop = make_stop()

    seen, query = [], "?phrase=bad"
    while query:
        context = client.get(url(stop) + query).context
        seen += [each.line.id for each in context["shown"]]
        query = context["more"]

    assert seen == sorted(reply.pk for reply in replies)


def test_what_the_recorder_has_not_written_yet_is_said(
    client: Client, vera: User
) -> None:
    make_reply(rules=("promise",))
    late = make_reply()
    Outcome.objects.filter(turn=late.turn).update(record_id="not there yet")
    stop = make_stop()

    assert "Of 1 reply in that time the recorder has not written" in get(
        client, stop, "?rule=promise"
    )
    assert "recorder" not in get(client, stop, "?phrase=costs")


def test_what_went_out_after_the_proof_is_counted(client: Client, vera: User) -> None:
    stop = actions.prove_stop(make_stop(), prover="ada")
    assert stop.proven_at is not None
    make_reply("bad", at=stop.proven_at + timedelta(milliseconds=1), reviewed=True)

    page = get(client, stop, "?phrase=bad")

    assert "No reply matches" in page
    assert "1 more like these went out from the proof until now, 1 of them read" in page


def test_the_report_of_an_agent_is_about_what_has_its_work_in_it(
    client: Client, vera: User
) -> None:
    make_reply("from the guard")  # which comes after the responder
    make_reply("of another", source="quote-agent")
    make_approval()  # nobody knows whose it is
    Outcome.objects.create(turn=make_turn(), state="failed", source="quote-agent")

    said = exported(client, make_stop(scope="agent", value="responder"))

    assert [line["text"] for line in said["reached"]] == ["from the guard"]
    counts = {group["slug"]: group["count"] for group in said["owed"]}
    assert (counts["held"], counts["failed"]) == (1, 0)


def test_a_failed_turn_leads_to_its_dead_letter(client: Client, vera: User) -> None:
    stop = make_stop()
    turn = make_turn()
    Outcome.objects.create(turn=turn, state="failed")
    letter = _letter(1)
    letter.trace_id = turn.trace_id
    letter.save()

    debts = exported(client, stop)["owed"][1]["debts"]

    assert [(debt["owner"], debt["url"]) for debt in debts] == [
        ("who sees to dead letters", f"/dlq/{Letter.objects.get().pk}/")
    ]


def test_mail_that_the_stop_has_met_is_owed_until_it_is_settled(
    client: Client, vera: User
) -> None:
    stop = make_stop()
    mails = [
        Effect.objects.create(record_id=str(n), recipient="a@b.example", state=state)
        for n, state in enumerate(["held", "unknown", "sent", "held"])
    ]
    Effect.objects.filter(pk=mails[0].pk).update(stop=stop)
    for mail in mails[:3]:
        ListedEffect.objects.create(stop=stop, effect=mail)

    [mail] = [each for each in exported(client, stop)["owed"] if each["slug"] == "mail"]

    assert mail["count"] == 2
    assert [debt["state"] for debt in mail["debts"]] == ["held", "unknown"]
    assert mail["debts"][0]["url"] == reverse("effects:effect", args=[mails[0].pk])


def test_what_a_widget_has_is_said(client: Client, vera: User) -> None:
    reply = make_reply()
    make_reply()
    stop = make_stop()
    Received.objects.create(
        conversation_id=reply.conversation_id, seq=reply.seq, at=reply.delivered_at
    )

    said = exported(client, stop)["reached"]

    assert [line["fetched"] for line in said] == [True, False]
    page = get(client, stop)
    assert "fetched by its widget" in page
    assert "no widget says that it has it" in page


def test_a_moderator_sees_what_waits_for_his_teams_and_is_told_so(
    client: Client,
) -> None:
    client.force_login(make_moderator("mira", "finance"))
    stop = make_stop()
    make_approval(team="discount")
    mine = make_approval(team="finance")

    page = get(client, stop)

    assert "What waits for other teams than yours is not listed." in page
    held = exported(client, stop)["owed"][0]
    assert (held["count"], len(held["debts"])) == (1, 1)
    assert held["debts"][0]["conversation"] == mine.turn.conversation_id


def test_what_is_taken_away_is_on_record(
    client: Client, vera: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "PRINTED", 1)
    stop = make_incident()

    exported(client, stop, PHRASE)
    paper = client.get(url(stop, "print") + PHRASE).content.decode()

    assert "3 more are not printed; the JSON report has all of them." in paper
    assert "Only those that say “25 % OFF”." in paper
    assert 'class="shell"' not in paper
    entries = Entry.objects.filter(action="report_exported").order_by("pk")
    assert [(entry.actor, entry.subject, entry.detail) for entry in entries] == [
        (
            "vera",
            f"stop:{stop.pk}",
            {"form": form, "replies": replies, "query": {"phrase": "25 % OFF"}},
        )
        for form, replies in (("json", 4), ("print", 1))
    ]


def test_many_replies_take_as_many_queries_as_one(client: Client, vera: User) -> None:
    conversation = make_conversation()
    stop = make_stop()
    make_reply(conversation=conversation)
    client.get(url(stop))
    with CaptureQueriesContext(connection) as one:
        client.get(url(stop))
    for _ in range(5):
        make_reply()
        make_approval()
        make_turn()

    with CaptureQueriesContext(connection) as many:
        client.get(url(stop))

    assert len(many) == len(one)


def test_the_stop_and_the_history_lead_to_the_report(client: Client) -> None:
    client.force_login(make_admin())
    stop = make_stop()
    assert (
        url(stop) in client.get(reverse("stops:stop", args=[stop.pk])).content.decode()
    )
    actions.release_stop(stop, reason="over", releaser="ada")
    assert url(stop) in client.get(reverse("stops:index")).content.decode()


def test_every_field_of_the_json_is_documented(client: Client, vera: User) -> None:
    documented = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    said = exported(client, make_incident(), PHRASE)

    fields = {*said, *said["totals"], *said["reached"][0], *said["timeline"][0]}
    fields |= {*said["owed"][0], *said["owed"][0]["debts"][0], *said["log"][0]}
    assert [name for name in sorted(fields) if f"`{name}`" not in documented] == []


def test_an_excerpt_is_what_stands_around_the_phrase() -> None:
    text = "a" * 300 + "Bad" + "b" * 300

    assert excerpt(text, "bad") == [
        ("…" + "a" * 160, False),
        ("Bad", True),
        ("b" * 160 + "…", False),
    ]
    assert excerpt("short", "") == [("short", False)]
    assert excerpt(text, "nowhere") == [(text[:320] + "…", False)]


def test_an_address_says_what_was_asked_for() -> None:
    query = Query(phrase="25 % off", since=ago(hours=1).replace(microsecond=0))

    address = pages.address_of(query, after="7")

    assert address.startswith("?phrase=25+%25+off&since=20")
    assert address.endswith("&after=7")
    assert "+00" not in address
    assert pages.address_of(Query()) == ""
