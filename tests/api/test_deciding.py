"""POST /api/approvals/{id}/decision."""

import json
from typing import Any
from uuid import uuid4

import pytest

from controlplane.audit.models import Entry
from moderation.models import Approval, Decision
from tests.api.conftest import Caller
from tests.api.test_tokens import problem
from tests.factories import make_approval, make_turn

pytestmark = pytest.mark.django_db


def decide(call: Caller, approval: Approval, **fields: Any) -> Any:
    defaults = {"verdict": "approve", "fingerprint": approval.fingerprint}
    body = json.dumps(defaults | fields)
    return call("POST", f"/api/approvals/{approval.pk}/decision", body)


def test_approving_closes_it_in_the_name_of_the_tokens_user(call: Caller) -> None:
    approval = make_approval()

    response = decide(call, approval)

    assert response.status_code == 200, response.content
    told = response.json()
    assert (told["verdict"], told["decided_by"]) == ("approve", "mira")
    assert told["text_sha256"] == approval.text_sha256
    assert Decision.objects.get().approval_id == approval.pk
    assert Entry.objects.filter(actor="mira", action="reply_approved").exists()


def test_the_second_of_two_hears_who_was_first(call: Caller) -> None:
    approval = make_approval()
    decide(call, approval)

    told = problem(
        decide(call, approval, verdict="reject", text="No.", reason="no"), 409
    )

    assert told["code"] == "already_decided"
    assert told["winner"]["decided_by"] == "mira"
    assert told["winner"]["verdict"] == "approve"


def test_what_the_deadline_decided_has_no_winner(call: Caller) -> None:
    told = problem(decide(call, make_approval(state="expired")), 409)

    assert told["code"] == "already_decided"
    assert told["winner"] is None


def test_who_missed_the_latest_message_hears_what_is_new(call: Caller) -> None:
    approval = make_approval()
    seen = approval.fingerprint
    make_turn(approval.turn.conversation, text="hello?")

    told = problem(decide(call, approval, fingerprint=seen), 409)

    assert told["code"] == "stale_fingerprint"
    assert [new["text"] for new in told["new"]] == ["hello?"]
    assert decide(call, approval, fingerprint=told["fingerprint"]).status_code == 200


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"verdict": "perhaps"}, "body.verdict"),
        ({"fingerprint": None}, "body.fingerprint"),
        ({"verdict": "reject", "text": "No."}, "body.reason"),
        ({"verdict": "edit", "text": " "}, "body.text"),
        ({"verdict": "approve", "text": "something else"}, "body.text"),
    ],
)
def test_a_decision_that_cannot_be_taken_names_the_field(
    call: Caller, fields: dict[str, Any], where: str
) -> None:
    told = problem(decide(call, make_approval(), **fields), 422)

    assert [error["at"] for error in told["errors"]] == [where]
    assert not Decision.objects.exists()


@pytest.mark.parametrize("body", ["", "{", "[]", "null"])
def test_a_body_that_is_none_is_refused(call: Caller, body: str) -> None:
    response = call("POST", f"/api/approvals/{make_approval().pk}/decision", body)

    assert response.status_code in {400, 422}
    problem(response, response.status_code)


def test_an_unknown_approval_is_a_404(call: Caller) -> None:
    body = json.dumps({"verdict": "approve", "fingerprint": "x"})

    problem(call("POST", f"/api/approvals/{uuid4()}/decision", body), 404)
