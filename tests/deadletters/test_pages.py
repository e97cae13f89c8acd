"""The dead letters pages: who may look, what is found, what is shown, what is refused."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from controlplane.audit.models import Entry
from controlplane.deadletters import actions, pages
from controlplane.deadletters.models import Job, Letter
from controlplane.runtime.models import OutboxRecord
from tests.deadletters.making import START, make_letter
from tests.deadletters.pages import LIST, plain, text, url
from tests.factories import make_admin, make_user

pytestmark = pytest.mark.django_db


# Who may


@pytest.mark.parametrize(
    ("role", "status"),
    [
        ("viewer", 403),
        ("moderator", 403),
        ("lead", 200),
        ("admin", 200),
        ("auditor", 200),
    ],
)
def test_who_may_look(client: Client, role: str, status: int) -> None:
    letter = make_letter()
    client.force_login(make_user("somebody", role))

    for path in (LIST, url(letter)):
        assert client.get(path).status_code == status
    assert (b"Dead letters" in client.get("/").content) == (status == 200)


def test_visitors_are_sent_to_sign_in(client: Client) -> None:
    assert client.get(LIST).status_code == 302


def test_an_auditor_looks_and_decides_nothing(client: Client) -> None:
    client.force_login(make_user("otto", "auditor"))
    letter = make_letter()

    for path in (LIST, url(letter)):
        assert b'name="verb"' not in client.get(path).content
        assert client.post(path, {"verb": "redrive"}).status_code == 403
    job = Job.objects.create(verb="redrive", started_by=make_admin())
    assert client.post(f"/dlq/jobs/{job.pk}/cancel/").status_code == 403
    assert Letter.objects.get().is_open


# The list


def test_lists_open_letters_newest_first_with_what_they_say(
    client: Client, ada: User
) -> None:
    make_letter(reason="first\nTraceback", key=None)
    make_letter(reason="second", key=b"c\xff")
    actions.discard(make_letter(reason="third").pk, by=ada, reason="x")

    html = text(client)

    assert html.index("second") < html.index("first")
    assert "Traceback" not in html
    assert "third" not in html
    assert "open 21 Nov 14:02:41 responder agent.requests.free 2@41 c\\xff 3" in html
    assert "agent.requests.free 2@40 none 3" in html
    assert "all 2 open ones that match" in html


def test_an_empty_list_says_that_nothing_is_wrong(client: Client, ada: User) -> None:
    assert "No open dead letters" in text(client)
    assert "No letter matches" in text(client, "/dlq/?reason=x")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("agent=guard", "b"),
        ("topic=user.messages.raw", "c"),
        ("reason=TIMED", "d"),
        ("state=discarded", "e"),
        ("state=redriven", "f"),
        ("state=all", "abcdef"),
        ("since=2026-11-21T14:02:43", "d"),
        ("until=2026-11-21T14:02:41", "a"),
        ("since=2026-11-21T14:02:41&until=2026-11-21T14:02:42", "b"),
        ("agent=nobody", ""),
        ("", "abcd"),
    ],
)
def test_the_filter_finds(client: Client, ada: User, query: str, found: str) -> None:
    make_letter(reason="a")
    make_letter(reason="b", agent="guard")
    make_letter(reason="c", topic="user.messages.raw")
    make_letter(reason="d timed out")
    actions.discard(make_letter(reason="e").pk, by=ada, reason="x")
    actions.redrive(make_letter(reason="f").pk, by=ada)

    context = client.get(f"{LIST}?{query}").context

    assert sorted(letter.reason[0] for letter in context["letters"]) == list(found)


@pytest.mark.parametrize(
    "query", ["since=yesterday", "state=lost", "reason=a%00b", "reason=" + "x" * 201]
)
def test_a_filter_that_makes_no_sense_is_said_so(
    client: Client, ada: User, query: str
) -> None:
    make_letter()

    response = client.get(f"{LIST}?{query}")

    assert response.status_code == 422
    assert "cannot be understood" in response.content.decode()
    assert 'class="errorlist"' in response.content.decode()


@pytest.mark.parametrize("before", ["", "x", "0", "-1", str(2**70), "%00", "1"])
def test_any_place_in_the_list_is_a_page(
    client: Client, ada: User, before: str
) -> None:
    assert client.get(f"{LIST}?before={before}").status_code == 200


def test_paging_shows_each_letter_once_also_while_others_come(
    client: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE", 4)
    for number in range(10):
        make_letter(agent="guard", reason=str(number))
    seen: list[str] = []
    path = f"{LIST}?agent=guard"
    while path:
        context = client.get(path).context
        seen += [letter.reason for letter in context["letters"]]
        make_letter(agent="guard", reason="new")
        path = context["older"] and f"{LIST}{context['older']}"

    assert seen == [str(number) for number in range(9, -1, -1)]


def test_the_list_costs_the_same_for_one_letter_or_ten(
    client: Client, ada: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    make_letter()
    with django_assert_num_queries(16) as first:
        client.get(LIST)
    for _ in range(9):
        make_letter()
    with django_assert_num_queries(len(first)):
        client.get(LIST)


# One letter


def test_a_letter_is_shown_whole_and_the_reading_is_logged(
    client: Client, ada: User
) -> None:
    letter = make_letter(b'{"a":1e400,"text":"<script>\xe2\x80\xae"}')

    html = client.get(url(letter)).content.decode()

    assert "<script>" not in html.replace("<script src", "")
    assert "&quot;a&quot;: 1e400,\n  &quot;text&quot;" in html
    assert ">U+202E<" in html
    shown = plain(html)
    assert "responder gave it up after 3 attempts" in shown
    assert "ce_source tier-router" in shown
    assert "ilk_dlq_" not in shown
    assert reverse("traces:trace", args=[letter.trace_id]) in html
    entry = Entry.objects.get(action="payload_read")
    assert (entry.actor, entry.subject) == ("ada", "record:agents.dlq/3@100")


@pytest.mark.parametrize(
    ("value", "kind", "seen"),
    [
        (b"\xff\x00abc", "bytes", "000000 ff 00 61 62 63 ..abc"),
        (b"no JSON\x00", "text", "no JSON U+0000"),
        (b'"\\u0000"', "JSON", '"\\u0000"'),
        (b"[" * 900 + b"]" * 900, "text", "[[["),
        (b"[" * 5000, "text", "[[["),
        (b"", "text", "The value is empty"),
        (b"x" * 5_000_000, "text", "The first 65,536 bytes are shown"),
        (b"\xff" * 5_000_000, "bytes", "The first 4,096 bytes are shown"),
        ("ü".encode() * 32_769, "text", "The first 65,536 bytes are shown"),
        (b"x" + "ü".encode() * 32_769, "text", "The first 65,536 bytes are shown"),
    ],
)
def test_any_bytes_can_be_looked_at(
    client: Client, ada: User, value: bytes, kind: str, seen: str
) -> None:
    shown = text(client, url(make_letter(value, headers=[("x\u202e", b"\xff")])))

    assert f"Value {kind} {len(value):,} byte" in shown
    assert seen in shown
    assert "x U+202E \\xff" in shown
    assert "its headers cannot be read" in shown


def test_a_letter_whose_bytes_are_gone_says_so(client: Client, ada: User) -> None:
    letter = make_letter()
    letter.offset = 999
    letter.save()

    shown = text(client, url(letter))

    assert "Its bytes are no longer kept" in shown


@pytest.mark.parametrize("place", ["3/1", f"{2**40}/1", f"3/{2**70}"])
def test_a_place_without_a_letter_is_not_found(
    client: Client, ada: User, place: str
) -> None:
    assert client.get(f"/dlq/{place}/").status_code == 404


def test_letters_of_one_record_name_each_other(client: Client, ada: User) -> None:
    first = make_letter()
    second = make_letter(redrive_of=str(first))
    odd = make_letter(redrive_of="agents.dlq/²@x")

    assert f"failed again: letter {second.partition}@{second.offset}" in text(
        client, url(first)
    )
    assert "redriven before, from letter 3@100" in text(client, url(second))
    assert "redriven before" not in text(client, url(odd))


def test_redriving_shows_how_far_it_is(client: Client, ada: User) -> None:
    letter = make_letter()

    response = client.post(url(letter), {"verb": "redrive", "reason": "mended"})

    assert response["Location"] == url(letter)
    assert "ada has redriven it" in text(client, url(letter))
    assert "Kafka does not have it yet" in text(client, url(letter))
    OutboxRecord.objects.update(published_at=START)
    assert "Kafka has had it again since 14:02:40.118" in text(client, url(letter))
    OutboxRecord.objects.update(published_at=None, failure="too large")
    assert "Kafka refused it: too large" in text(client, url(letter))


def test_discarding_without_a_reason_shows_the_form_again(
    client: Client, ada: User
) -> None:
    letter = make_letter()

    response = client.post(url(letter), {"verb": "discard", "reason": " "})

    assert response.status_code == 422
    assert "Say why it can be discarded." in response.content.decode()
    assert Letter.objects.get().is_open


@pytest.mark.parametrize("verb", ["", "lose"])
def test_no_other_thing_can_be_done(client: Client, ada: User, verb: str) -> None:
    letter = make_letter()

    assert client.post(url(letter), {"verb": verb}).status_code == 422
    assert client.post(LIST, {"verb": verb, "up_to": 0}).status_code == 422


def test_who_comes_second_is_told_who_was_first(client: Client, ada: User) -> None:
    letter = make_letter()
    actions.discard(letter.pk, by=make_admin("bo"), reason="mine")

    response = client.post(url(letter), {"verb": "redrive"})

    assert response.status_code == 409
    assert "bo has discarded it" in plain(response.content.decode())


def test_a_refusal_is_a_sentence_on_the_page(client: Client, ada: User) -> None:
    letter = make_letter(topic="posts")

    response = client.post(url(letter), {"verb": "redrive"})

    assert response.status_code == 422
    assert "posts is no topic that records are sent to." in response.content.decode()


def test_htmx_gets_the_same_fragment_for_good_and_bad(
    client: Client, ada: User
) -> None:
    letter = make_letter()
    partial = {"HX-Request": "true", "HX-Request-Type": "partial"}

    for path in (LIST, url(letter)):
        bad = client.post(path, {"verb": "discard", "up_to": "1"}, headers=partial)
        good = client.get(path, headers=partial)
        assert bad.status_code == 422
        assert good.content[:20] == bad.content[:20]
        assert b"<html" not in good.content + bad.content
