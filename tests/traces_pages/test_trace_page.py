"""The page of a trace."""

import re
from html import unescape
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from controlplane.audit.models import Entry
from controlplane.chat.models import Correction, Feedback, Outcome
from controlplane.deadletters.actions import discard, redrive
from controlplane.traces import story as stories
from moderation.models import Approval, Decision
from tests.deadletters.making import headers_for, make_letter
from tests.factories import (
    make_admin,
    make_approval,
    make_copy,
    make_moderator,
    make_turn,
    make_user,
)
from tests.traces_pages.making import after, make_payload, make_record, sha256
from tests.traces_pages.scenes import DRAFT, edited_trace

pytestmark = pytest.mark.django_db


def plain(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", html)).split())


@pytest.fixture
def reader(client: Client) -> Client:
    client.force_login(make_user("vera", "viewer"))
    return client


@pytest.fixture
def auditor(client: Client) -> Client:
    client.force_login(make_user("otto", "auditor"))
    return client


def page(client: Client, trace_id: str, name: str = "traces:trace") -> str:
    response = client.get(reverse(name, args=[trace_id]))
    assert response.status_code == 200
    return response.content.decode()


def test_tells_the_story_of_an_answer_that_a_person_edited(reader: Client) -> None:
    turn = edited_trace()

    html = page(reader, turn.trace_id)
    text = plain(html)

    assert "BMW gave me 20 % off already.” delivered" in text
    assert "tier enterprise · rule-set 0000000" in text
    assert "21 Nov 2026 14:02:40.118 to 14:04:31.915 UTC" in text
    assert "agent.responses.raw responder +1.41 s" in text
    assert "14:02:41.528 · RawResponse · tier pro · agent.responses.raw/3@100" in text
    assert "agent.responses.final output-guard duplicate, the turn was held" in text
    assert "mira decided for discount edited +1 m 50 s" in text
    assert "<del>25</del><ins>12</ins>" in html
    assert "The limit is 15 %." in text
    assert "delivered as message 2 gate delivered +7.0 ms" in text
    assert "waited for a person 1 m 50 s" in text


def test_a_finished_trace_is_not_asked_for_again(reader: Client) -> None:
    assert 'data-every-s="1"' not in page(reader, edited_trace().trace_id)


def test_an_open_one_is_live(reader: Client) -> None:
    turn = make_turn()
    make_record(turn.trace_id, "user.messages.raw")

    for name in ("traces:trace", "traces:hops"):
        html = page(reader, turn.trace_id, name)
        assert 'data-every-s="1"' in html
        assert "still running" in html


def test_a_turn_whose_records_are_not_yet_indexed_says_so(reader: Client) -> None:
    text = plain(page(reader, make_turn().trace_id))

    assert "No records yet" in text
    assert "the recorder is up to a second behind" in text


def test_names_the_dead_letter_and_why_the_turn_failed(reader: Client) -> None:
    turn = make_turn()
    Outcome.objects.create(turn=turn, state="failed", reason="responder: no answer")
    raw = make_record(turn.trace_id, "user.messages.raw", event_id=turn.pk)
    make_record(turn.trace_id, "agents.dlq", event_id=raw.event_id, agent="widget")

    text = plain(page(reader, turn.trace_id))

    assert "failed responder: no answer" in text
    assert text.index("user.messages.raw") < text.index("agents.dlq")
    assert "agents.dlq widget dead letter" in text


def test_tells_what_the_user_said_of_the_answer_and_counts_it_in_no_time(
    reader: Client,
) -> None:
    turn = edited_trace()
    html = page(reader, turn.trace_id)
    make_record(turn.trace_id, "training.feedback", ms=900_000, type="Feedback")
    Feedback.objects.create(
        message=turn.messages.get(role="assistant"),
        rating="down",
        reason="<b>wrong</b>\u202e",
        given_at=after(900_000),
    )

    rated = page(reader, turn.trace_id)
    text = plain(rated)

    assert "thumb down The end user rated the answer at 14:17:40.118 UTC" in text
    assert "&lt;b&gt;wrong&lt;/b&gt;" in rated
    assert "\u202e" not in rated
    assert "training.feedback" in text
    for same in ("21 Nov 2026 14:02:40.118 to 14:04:31.915 UTC", "work ", "waited for"):
        assert same in plain(html)
        assert same in text
    work = re.compile("work ([^·]+) ·")
    assert work.search(text)[1] == work.search(plain(html))[1]  # type: ignore[index]


def test_tells_a_correction_of_the_answer_and_counts_it_in_no_time(
    reader: Client,
) -> None:
    turn = edited_trace()
    before = plain(page(reader, turn.trace_id))
    make_record(
        turn.trace_id, "agent.responses.approved", ms=86_400_000, agent="corrections"
    )
    copy = make_copy(turn, state="delivered", seq=3, changed_at=after(86_400_005))
    Correction.objects.update(written_at=after(86_390_000))

    text = plain(page(reader, turn.trace_id))

    assert "mona wrote a correction delivered" in text
    assert f"correction delivered as message {copy.seq} gate" in text
    assert text.count(copy.correction.text) == 2
    for same in ("21 Nov 2026 14:02:40.118 to 14:04:31.915 UTC", "work ", "waited for"):
        assert same in before
        assert same in text
    work = re.compile("work ([^·]+) ·")
    assert work.search(text)[1] == work.search(before)[1]  # type: ignore[index]


def test_tells_why_a_correction_was_refused(reader: Client) -> None:
    turn = edited_trace()
    make_copy(turn, state="refused", why="The conversation has moved on.")

    text = plain(page(reader, turn.trace_id))

    assert "mona wrote a correction refused" in text
    assert (
        "It had named the price of another car. The conversation has moved on." in text
    )


def test_tells_who_sent_a_dead_letter_again_or_discarded_it(reader: Client) -> None:
    letters = [make_letter(headers=headers_for("ab" * 16)) for _ in range(3)]
    redrive(letters[0].pk, by=make_admin(), reason="the model is back")
    discard(letters[1].pk, by=make_admin("bo"), reason="noise")

    text = plain(page(reader, "ab" * 16))

    assert "ada decided on the dead letter of responder redriven" in text
    assert "the model is back" in text
    assert "bo decided on the dead letter of responder discarded" in text
    assert text.count("decided on the dead letter") == 2


def test_the_same_record_again_is_marked(reader: Client) -> None:
    trace = uuid4().hex
    for ms in (0, 5):
        make_record(trace, "agent.responses.raw", ms=ms, event_id="e1")

    text = plain(page(reader, trace))

    assert text.count("the same record again") == 1
    assert "not a user's turn" in text


def test_within_a_millisecond_causes_go_before_what_they_caused(reader: Client) -> None:
    trace = uuid4().hex
    make_record(trace, "b.first", event_id="e1")
    make_record(trace, "a.second", event_id="e2", parents=["e1"])

    text = plain(page(reader, trace))

    assert text.index("b.first") < text.index("a.second")


def test_headers_that_name_each_other_as_parents_break_nothing(reader: Client) -> None:
    trace = uuid4().hex
    make_record(trace, "a", event_id="e1", parents=["e2"])
    make_record(trace, "b", event_id="e2", parents=["e1"])

    assert "2 records" in plain(page(reader, trace))


def test_what_people_wrote_is_escaped_and_hides_nothing(reader: Client) -> None:
    text = "<script>alert(1)</script> pay\u202e \u200b\x07"
    turn = make_turn(text=text)
    make_record(turn.trace_id, "user.messages.raw", text=text)

    html = page(reader, turn.trace_id)

    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html
    for code, name in (
        ("U+202E", "right-to-left override"),
        ("U+200B U+0007", "zero width space, control character"),
    ):
        assert f'<span class="unseen" title="{name}">{code}</span>' in html
    assert "\u202e" not in html


def test_a_rejection_is_shown_with_its_reason(reader: Client) -> None:
    approval = make_approval(state="rejected")
    approval.turn.outcomes.update(state="rejected")
    make_decision(approval, verdict="reject", text="Sorry, no.", reason="too much")

    text = plain(page(reader, approval.turn.trace_id))

    assert "rejected by a person" in text
    assert "mira decided for discount rejected" in text
    assert "Sorry, no. too much" in text


def make_decision(approval: Approval, **fields: str) -> None:
    Decision.objects.create(
        approval=approval, text_sha256="0" * 64, decided_by=make_moderator(), **fields
    )


def test_a_long_trace_says_that_it_shows_the_first_part(
    reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stories, "MAX_RECORDS", 3)
    trace = uuid4().hex
    for ms in range(5):
        make_record(trace, "agent.execution", ms=ms)

    assert "3 records, the first of 5" in plain(page(reader, trace))


@pytest.mark.parametrize(
    ("trace_id", "hint"),
    [
        ("0" * 32, "The recorder writes up to a second after Kafka"),
        ("4bf92f", "A trace id has 32 characters"),
        ("<b>x", "A trace id has 32 characters"),
        ("\x00\u202e", "A trace id has 32 characters"),
    ],
)
def test_an_unknown_trace_says_what_may_be_wrong(
    reader: Client, trace_id: str, hint: str
) -> None:
    response = reader.get(reverse("traces:trace", args=[trace_id]))

    assert response.status_code == 404
    assert hint in response.content.decode()
    assert "<b>x" not in response.content.decode()


def test_the_live_part_of_an_unknown_trace_is_no_page(reader: Client) -> None:
    assert reader.get(reverse("traces:hops", args=["0" * 32])).status_code == 404


@pytest.mark.parametrize("name", ["traces:trace", "traces:hops"])
def test_visitors_sign_in_and_people_without_a_role_are_refused(
    client: Client, name: str
) -> None:
    url = reverse(name, args=[edited_trace().trace_id])
    assert client.get(url).status_code == 302

    client.force_login(make_user("nora"))
    assert client.get(url).status_code == 403


def test_costs_the_same_for_one_hop_or_fifty(
    reader: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    turn = edited_trace()
    for ms in range(50):
        make_record(turn.trace_id, "agent.execution", ms=ms)

    # session, user, when it was seen, 2 permissions, records, turns, 7 prefetches, letters, lamp, counts of queue and mail
    with django_assert_num_queries(19):
        page(reader, turn.trace_id)


# The raw bytes


def payload_url(trace_id: str, offset: int) -> str:
    return reverse("traces:payload", args=[trace_id, "user.messages.raw", 3, offset])


def test_raw_bytes_are_shown_to_auditors_and_each_read_is_logged(
    auditor: Client,
) -> None:
    value = b'{"text": "25 % off\xff\xe2\x80\xae"}'
    trace = uuid4().hex
    record = make_record(trace, "user.messages.raw", value_sha256=sha256(value))
    make_payload(record, value)
    link = payload_url(trace, record.offset)
    assert f'href="{link}"' in page(auditor, trace)

    html = auditor.get(link).content.decode()

    assert "25 % off\\xff" in html
    assert "U+202E" in html
    assert "as indexed" in html
    assert "<dt>ce_id</dt>" in html
    entry = Entry.objects.get()
    assert (entry.actor, entry.action) == ("otto", "payload_read")
    assert entry.subject == f"record:user.messages.raw/3@{record.offset}"
    assert entry.trace_id == trace


def test_bytes_that_are_not_what_was_indexed_are_called_so(auditor: Client) -> None:
    trace = uuid4().hex
    record = make_record(trace, "user.messages.raw")
    make_payload(record, b"x" * 70_000)

    html = auditor.get(payload_url(trace, record.offset)).content.decode()

    assert "not what was indexed" in html
    assert "The first 64 KiB are shown." in html


def test_a_record_is_read_through_its_own_trace_alone(auditor: Client) -> None:
    record = make_record(uuid4().hex, "user.messages.raw")
    make_payload(record, b"{}")

    assert auditor.get(payload_url(uuid4().hex, record.offset)).status_code == 404
    assert not Entry.objects.exists()


def test_bytes_that_are_no_longer_kept_are_a_404(auditor: Client) -> None:
    record = make_record(uuid4().hex, "user.messages.raw")

    assert auditor.get(payload_url(record.trace_id, record.offset)).status_code == 404


@pytest.mark.parametrize(
    "place",
    [
        "user.messages.raw/99999999999999999999/0",
        "user/0/99999999999999999999",
        "%00/0/0",
    ],
)
def test_coordinates_that_cannot_be_are_a_404(auditor: Client, place: str) -> None:
    trace = make_record(uuid4().hex, "user.messages.raw").trace_id

    assert auditor.get(f"/traces/{trace}/{place}/").status_code == 404


def test_raw_bytes_are_refused_to_others(reader: Client) -> None:
    record = make_record(uuid4().hex, "user.messages.raw")
    make_payload(record, b"{}")

    assert reader.get(payload_url(record.trace_id, record.offset)).status_code == 403
    assert "payload" not in page(reader, record.trace_id)
    assert DRAFT not in page(reader, record.trace_id)
    assert [entry.action for entry in Entry.objects.all()] == ["access_refused"]
