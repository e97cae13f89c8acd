"""What the pages show and refuse, through the client."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from controlplane.accounts.models import Team
from controlplane.chat.models import Message, Outcome
from controlplane.runtime.models import OutboxRecord
from moderation import actions
from moderation.models import Approval, Decision
from tests.factories import (
    make_answer,
    make_approval,
    make_conversation,
    make_copy,
    make_moderator,
    make_turn,
    make_user,
)
from tests.moderation.rows import EDITED, SAFE, allow, form_of

pytestmark = pytest.mark.django_db

QUEUE = reverse("moderation:queue")
HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


def url_of(approval: Approval) -> str:
    return reverse("moderation:item", args=[approval.pk])


def words(response: Any) -> str:
    """The text of a page as a person reads it."""
    text = re.sub(
        r"<(script|style|title).*?</\1>|<[^>]+>",
        " ",
        response.content.decode(),
        flags=re.S,
    )
    return re.sub(r"\s+", " ", unescape(text))


def decided_by(user: User, approval: Approval, **fields: Any) -> Decision:
    fresh = Approval.objects.with_conversation().get(pk=approval.pk)
    defaults = {"verdict": Decision.Verdict.APPROVE, "text": "", "reason": ""}
    return actions.decide(
        approval.pk,
        fingerprint=fresh.fingerprint,
        moderator=user,
        **(defaults | fields),
    )


# ---- who may see what


def test_signed_out_people_are_sent_to_the_sign_in(
    client: Client, approval: Approval
) -> None:
    response = client.get(url_of(approval))

    assert response.status_code == 302
    assert response["Location"] == f"/accounts/login/?next={url_of(approval)}"


def test_a_sign_in_does_not_take_the_place_of_what_was_typed(
    client: Client, approval: Approval
) -> None:
    response = client.post(url_of(approval), form_of(approval), headers=HTMX)

    assert response.status_code == 401
    assert response["HX-Retarget"] == "#queue-said"
    assert "You are signed out, and nothing was sent." in words(response)


@pytest.mark.parametrize("method", ["get", "post"])
def test_people_without_a_role_are_refused(
    client: Client, approval: Approval, method: str
) -> None:
    client.force_login(make_user("nobody"))

    assert client.get(QUEUE).status_code == 403
    assert getattr(client, method)(url_of(approval)).status_code == 403


def test_a_viewer_reads_and_cannot_decide(client: Client, approval: Approval) -> None:
    client.force_login(make_user("vera", "viewer"))

    page = client.get(url_of(approval))
    post = client.post(url_of(approval), form_of(approval))

    assert "You may read this and not decide on it" in words(page)
    assert b'<button class="first send"' not in page.content
    assert post.status_code == 403
    assert not Decision.objects.exists()


def test_there_is_no_such_answer(mira_client: Client) -> None:
    response = mira_client.get(f"{QUEUE}00000000-0000-4000-8000-000000000000/")

    assert response.status_code == 404


# ---- the list


def test_an_empty_queue_says_so(mira_client: Client) -> None:
    response = mira_client.get(QUEUE)

    assert "You're all caught up" in words(response)
    assert "Nobody has decided on anything yet." in words(response)


def test_the_nearest_deadline_comes_first(mira_client: Client) -> None:
    now = timezone.now()
    for minutes, text in [(9, "Third"), (-1, "First"), (2, "Second")]:
        make_approval(
            text=text, deadline_at=now + timedelta(minutes=minutes), verdict={}
        )

    page = words(mira_client.get(QUEUE))

    assert page.index("First") < page.index("Second") < page.index("Third")
    assert "past its deadline" in page
    assert "3 answers wait for a person" in page


def test_a_row_says_what_tripped_the_rule(mira_client: Client) -> None:
    make_approval()

    response = mira_client.get(QUEUE)

    assert "free · 25 % over 5 % · waiting 0 s" in words(response)
    assert (
        '<mark title="Discount above the limit">25 % off</mark>'
        in response.content.decode()
    )


def test_list_and_facts_name_the_tier_of_the_turn(mira_client: Client) -> None:
    turn = make_turn(make_conversation(tier="enterprise"), tier="pro")
    approval = make_approval(turn)

    assert "pro · 25 % over 5 %" in words(mira_client.get(QUEUE))
    assert "u_1 · pro" in words(mira_client.get(url_of(approval)))


def test_teams_have_their_own_counts_and_lists(mira_client: Client) -> None:
    Team.objects.get_or_create(slug="legal", defaults={"name": "Legal"})
    make_approval(team="legal", text="Sue them")
    make_approval(team="discount", text="Half price")

    page = words(mira_client.get(f"{QUEUE}?team=legal"))

    assert "All 2 waiting" in page
    assert "Legal 1 waiting" in page
    assert "Sue them" in page
    assert "Half price" not in page


def test_an_unknown_team_has_an_empty_queue(
    mira_client: Client, approval: Approval
) -> None:
    response = mira_client.get(f"{QUEUE}?team=%3Cb%3E%00")

    assert response.status_code == 200
    assert "Nothing waits for this team." in words(response)
    assert b"<b>\x00" not in response.content


def test_finished_ones_say_who_decided_what(
    mira_client: Client, jonas: User, approval: Approval
) -> None:
    decided_by(jonas, approval)

    assert "Approved Discount above the limit" in words(mira_client.get(QUEUE))
    assert "jonas" in words(mira_client.get(QUEUE))


def test_the_list_costs_the_same_for_one_answer_or_ten(
    mira_client: Client, jonas: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    decided_by(jonas, make_approval())
    make_approval()
    with django_assert_num_queries(14) as one:
        mira_client.get(QUEUE)
    for _ in range(9):
        make_approval()
        decided_by(jonas, make_approval())

    with django_assert_num_queries(len(one)):
        mira_client.get(QUEUE)


def test_a_refetch_of_the_list_is_only_the_list(
    mira_client: Client, approval: Approval
) -> None:
    response = mira_client.get(QUEUE, headers=HTMX)

    assert b"<html" not in response.content
    assert b'<hx-partial hx-target="#queue-list"' in response.content
    assert "HX-Request-Type" in response["Vary"]
    assert "no-store" in response["Cache-Control"]


# ---- the answer


def test_an_answer_shows_why_it_is_held_then_the_conversation_then_the_draft(
    mira_client: Client, approval: Approval
) -> None:
    page = words(mira_client.get(url_of(approval)))

    page = page[page.index("Waiting for a person") :]
    why, question = page.index("25 % over 5 %"), page.rindex("What does the E-Class")
    assert why < question < page.rindex("Draft reply, held") < page.rindex("Facts")
    assert approval.text_sha256[:12] in page
    assert "u_1 · free" in page


def test_hidden_characters_are_shown_and_markup_is_not_obeyed(
    mira_client: Client,
) -> None:
    turn = make_turn(text="<img src=x>\u200b")
    approval = make_approval(turn, text="<script>\u202e25 % off</script>", verdict={})

    html = mira_client.get(url_of(approval)).content.decode()

    assert (
        '&lt;img src=x&gt;<span class="unseen" title="zero width space">U+200B' in html
    )
    assert '&lt;script&gt;<span class="unseen" title="right-to-left override">' in html
    assert "<img src=x>" not in html


@pytest.mark.parametrize(
    ("verdict", "figure"),
    [
        ({"action": "escalate", "error": "the engine failed"}, "Not checked"),
        ({"action": "escalate", "team": "general"}, "Held"),
        ({"action": "escalate", "reason": "Asked for a person"}, "Write the answer"),
        ({"nonsense": 1}, "Not checked"),
    ],
)
def test_an_answer_held_without_a_finding_says_so(
    mira_client: Client, verdict: dict[str, Any], figure: str
) -> None:
    approval = make_approval(verdict=verdict, why="Hard stop on everything")

    page = words(mira_client.get(url_of(approval)))

    assert f"{figure} Hard stop on everything" in page


def test_where_a_person_was_asked_for_the_question_stands_in_the_list(
    mira_client: Client,
) -> None:
    verdict = {"action": "escalate", "reason": "The customer asked for a person"}
    turn = make_turn(text="Is anybody there?")
    approval = make_approval(
        turn, text="Sorry, not now.", team="general", verdict=verdict
    )

    response = mira_client.get(url_of(approval))
    page = words(response)

    assert re.search('value="edit"[^>]* checked', response.content.decode())
    row = page[page.index("Needs attention") : page.index("Finished")]
    assert "Is anybody there?" in row
    assert "Sorry, not now." not in row
    assert "that a person will answer" in page


def test_a_value_that_cannot_be_read_is_quoted(mira_client: Client) -> None:
    approval = make_approval()
    approval.verdict["findings"][0] |= {"number": None, "said": "a huge discount" * 9}
    approval.save(update_fields=["verdict"])

    assert "… “a huge" not in words(mira_client.get(url_of(approval)))
    assert "limit 5 %" in words(mira_client.get(url_of(approval)))


def test_words_that_a_rule_names_are_quoted(mira_client: Client) -> None:
    approval = make_approval(text="Have you thought about a BMW?")
    finding = {
        "kind": "terms",
        "said": "BMW",
        "start": 25,
        "end": 28,
        "severity": "low",
    }
    approval.verdict["findings"][0] |= finding | {"number": None, "limit": None}
    approval.save(update_fields=["verdict"])

    response = mira_client.get(url_of(approval))

    assert "free · “BMW” · waiting" in words(response)
    assert "▲ High" not in words(response)


def test_what_was_written_after_the_draft_stands_on_top(
    mira_client: Client, approval: Approval
) -> None:
    make_turn(approval.turn.conversation, text="Hello?")

    page = words(mira_client.get(url_of(approval)))

    assert "The customer has written since this was drafted: Hello?" in page


def test_a_message_that_kafka_has_yet_to_confirm_is_shown_as_such(
    mira_client: Client, approval: Approval
) -> None:
    turn = make_turn(approval.turn.conversation, text="Are you there?")
    Message.objects.filter(turn=turn).delete()

    assert "not confirmed yet Are you there?" in words(
        mira_client.get(url_of(approval))
    )


def test_a_correction_in_the_conversation_is_shown_as_one(
    mira_client: Client, approval: Approval
) -> None:
    earlier = make_turn(approval.turn.conversation, text="And in red?")
    make_answer(earlier, text="Ten.")
    make_copy(earlier, state="delivered", text="Twenty.")

    shown = words(mira_client.get(url_of(approval)))

    assert re.search("a correction to an earlier answer .{,40}Twenty", shown), shown


def test_an_expired_answer_has_no_form(mira_client: Client, approval: Approval) -> None:
    Approval.objects.filter(pk=approval.pk).update(state="expired")

    page = mira_client.get(url_of(approval))
    post = mira_client.post(url_of(approval), form_of(approval))

    assert "Its deadline closed it. Nobody decided." in words(page)
    assert post.status_code == 409
    assert "Its deadline closed this." in words(post)


# ---- deciding


def test_approving_leads_to_the_confirmed_result(
    mira_client: Client, approval: Approval
) -> None:
    response = mira_client.post(url_of(approval), form_of(approval), follow=True)

    assert response.redirect_chain == [(url_of(approval), 302)]
    assert "Approved by mira at" in words(response)
    assert "On its way: the gate has not confirmed it yet." in words(response)
    assert "You're all caught up" in words(response)


def test_a_live_page_goes_on_to_the_next_answer(
    mira_client: Client, approval: Approval
) -> None:
    following = make_approval(text="Half price", team="legal")

    response = mira_client.post(url_of(approval), form_of(approval), headers=HTMX)

    assert response["HX-Push-Url"] == url_of(following)
    assert "Approved. The answer is on its way" in words(response)
    assert "Half price" in words(response)
    assert b"<html" not in response.content


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"then_next": ""}, id="it is not wished"),
        pytest.param({"team": "discount"}, id="the team has no other"),
    ],
)
def test_a_live_page_stays_with_the_result(
    mira_client: Client, approval: Approval, fields: dict[str, str]
) -> None:
    make_approval(team="legal")

    response = mira_client.post(
        url_of(approval), form_of(approval, **fields), headers=HTMX
    )

    assert "HX-Push-Url" not in response
    assert "Approved by mira at" in words(response)


@pytest.mark.usefixtures("rules")
def test_an_edit_shows_what_was_changed(
    mira_client: Client, approval: Approval
) -> None:
    form = form_of(approval, verdict="edit", text=f"{EDITED}\r\n")

    response = mira_client.post(url_of(approval), form, follow=True)

    assert "Edited and approved by mira" in words(response)
    assert "<del>25</del><ins>4</ins>" in response.content.decode()


@pytest.mark.usefixtures("rules")
def test_a_rejection_gives_its_reasons_and_the_safe_text(
    mira_client: Client, approval: Approval
) -> None:
    form = form_of(
        approval, verdict="reject", preset="1", reason="25 %?", safe_text=SAFE
    )

    response = mira_client.post(url_of(approval), form, follow=True)

    page = words(response)
    assert "“It promises what we cannot keep: 25 %?”" in page
    assert f"Safe text sha {Decision.objects.get().text_sha256[:4]}" in page
    assert SAFE in page


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"verdict": "burn"}, "burn is not one of the available choices"),
        ({"verdict": ""}, "required"),
        ({"verdict": "edit"}, "Nothing was changed."),
        ({"verdict": "edit", "text": " "}, "cannot get an empty text"),
        ({"verdict": "edit", "text": "a\x00b"}, "Null characters"),
        ({"verdict": "edit", "text": "30 % off"}, "A rule holds this text: Discount"),
        ({"verdict": "reject"}, "Say why."),
        ({"verdict": "reject", "preset": "9"}, "9 is not one of"),
        ({"verdict": "reject", "preset": "1", "safe_text": ""}, "empty text"),
    ],
)
def test_a_decision_that_cannot_be_taken_comes_back_with_what_was_typed(
    mira_client: Client, approval: Approval, fields: dict[str, str], error: str
) -> None:
    form = form_of(approval, **({"reason": "", "safe_text": SAFE} | fields))

    response = mira_client.post(url_of(approval), form)

    assert response.status_code == 422
    assert error in words(response)
    assert form["text"].replace("\x00", "") in unescape(response.content.decode())
    assert not Decision.objects.exists()


@pytest.mark.usefixtures("rules")
def test_an_override_is_offered_to_those_who_may(
    mira_client: Client, mira: User, approval: Approval
) -> None:
    form = form_of(approval, verdict="edit", text="30 % off", reason="Agreed")

    refused = mira_client.post(url_of(approval), form)
    allow(mira, "override_guardrail")
    offered = mira_client.post(url_of(approval), form)
    taken = mira_client.post(url_of(approval), form | {"override": "on"})

    assert "ask somebody who may override a rule" in words(refused)
    assert "Send it although a rule would hold it" in words(offered)
    assert (offered.status_code, taken.status_code) == (422, 302)


def test_the_loser_sees_who_won_and_keeps_what_was_typed(
    mira_client: Client, jonas: User, approval: Approval
) -> None:
    form = form_of(approval, verdict="edit", text="My <better> text", reason="Price")
    decided_by(jonas, approval)
    following = make_approval()

    response = mira_client.post(url_of(approval), form)

    page = words(response)
    assert response.status_code == 409
    assert "jonas approved this at" in page
    assert "nothing of yours was sent" in page
    assert "My <better> text" in page
    assert "Price" in page
    assert f'href="{url_of(following)}"' in response.content.decode()
    assert OutboxRecord.objects.count() == 1


def test_a_newer_message_is_shown_once_and_the_second_try_counts(
    mira_client: Client, approval: Approval
) -> None:
    form = form_of(approval, text="Half typed")
    make_turn(approval.turn.conversation, text="Hello?")

    first = mira_client.post(url_of(approval), form)
    html = first.content.decode()
    fingerprint = re.search(r'name="fingerprint" value="([^"]+)"', html)
    assert fingerprint
    second = mira_client.post(url_of(approval), form | {"fingerprint": fingerprint[1]})

    assert first.status_code == 409
    assert "The customer has written since you opened this." in words(first)
    assert words(first).index("Hello?") < words(first).index("Draft reply, held")
    assert "Half typed" in html
    assert second.status_code == 302


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("delivered", "The customer has it since"),
        ("rejected", "A hard stop keeps the safe text back."),
        ("held", "Held again by a stop"),
    ],
)
def test_the_result_says_what_has_become_of_it(
    mira_client: Client, jonas: User, approval: Approval, state: str, said: str
) -> None:
    decided_by(jonas, approval)
    turn = approval.turn
    Outcome.objects.filter(turn=turn).update(state=state)
    if state == "delivered":
        Message.objects.create(
            conversation=turn.conversation, seq=2, turn=turn, role="assistant", text="x"
        )
    if state == "held":
        Outcome.objects.filter(turn=turn).delete()
        make_approval(turn)

    assert said in words(mira_client.get(url_of(approval)))


def test_a_moderator_without_the_csrf_token_is_refused(approval: Approval) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_moderator("max"))

    assert client.post(url_of(approval), form_of(approval)).status_code == 403


def test_a_restored_page_of_the_history_is_a_whole_page(
    mira_client: Client, approval: Approval
) -> None:
    headers = {"HX-Request": "true", "HX-Request-Type": "full"}

    assert b"<html" in mira_client.get(url_of(approval), headers=headers).content
