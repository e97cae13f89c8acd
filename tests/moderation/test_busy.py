"""A conversation that somebody else keeps locked: told in a sentence, and tried again."""

import json
from collections.abc import Iterator

import psycopg
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents.host import conninfo
from controlplane.audit.models import Entry
from controlplane.runtime.models import OutboxRecord
from moderation import actions
from moderation.models import Approval, Decision
from tests.api.conftest import make_token
from tests.factories import make_approval, make_moderator
from tests.moderation.rows import EDITED, form_of, publish_rules

pytestmark = pytest.mark.django_db(transaction=True)

Holder = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def approval() -> Approval:
    publish_rules()
    made = make_approval()
    return Approval.objects.with_conversation().get(pk=made.pk)


@pytest.fixture
def mira() -> User:
    return make_moderator()


@pytest.fixture
def holder(approval: Approval, monkeypatch: pytest.MonkeyPatch) -> Iterator[Holder]:
    """Another connection in the middle of a transaction on the conversation."""
    monkeypatch.setattr(actions, "DECIDE_LOCK_MS", 50)
    with psycopg.connect(conninfo()) as connection:
        connection.execute(
            "SELECT 1 FROM chat_conversation WHERE id = %s FOR UPDATE",
            [approval.turn.conversation_id],
        )
        yield connection


def decide(approval: Approval, moderator: User) -> Decision:
    return actions.decide(
        approval.pk,
        verdict=Decision.Verdict.APPROVE,
        text="",
        reason="",
        fingerprint=approval.fingerprint,
        moderator=moderator,
    )


def test_a_decision_waits_two_seconds_at_most() -> None:
    assert actions.DECIDE_LOCK_MS == 2_000


def test_a_decision_that_cannot_get_the_conversation_changes_nothing(
    approval: Approval, mira: User, holder: Holder
) -> None:
    with pytest.raises(actions.BusyError, match="Send your decision again"):
        decide(approval, mira)

    assert not Decision.objects.exists()
    assert not OutboxRecord.objects.exists()
    assert not Entry.objects.exists()


def test_it_counts_once_the_conversation_is_free(
    approval: Approval, mira: User, holder: Holder
) -> None:
    with pytest.raises(actions.BusyError):
        decide(approval, mira)
    holder.rollback()

    assert decide(approval, mira) == Decision.objects.get()


def test_the_page_says_so_and_keeps_what_was_typed(
    client: Client, approval: Approval, mira: User, holder: Holder
) -> None:
    client.force_login(mira)
    page = reverse("moderation:item", args=[approval.pk])

    answer = client.post(page, form_of(approval, verdict="edit", text=EDITED))

    assert answer.status_code == 409
    said = answer.content.decode()
    assert "Nothing was sent. Send your decision again in a moment." in said
    assert EDITED in said


def test_the_api_says_so_and_when_to_try_again(
    client: Client, approval: Approval, mira: User, holder: Holder
) -> None:
    answer = client.post(
        f"/api/approvals/{approval.pk}/decision",
        json.dumps({"verdict": "approve", "fingerprint": approval.fingerprint}),
        content_type="application/json",
        headers={"Authorization": f"Bearer {make_token(mira)}"},
    )

    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert answer.json()["code"] == "busy"
    assert "Nothing was sent." in answer.json()["detail"]
