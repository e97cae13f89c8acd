from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User

from agents.cloudevents import decode_headers
from agents.events import DecidedResponse
from controlplane.accounts.models import Team
from controlplane.audit.models import Entry
from controlplane.chat.models import Turn
from controlplane.chat.turns import sha256
from controlplane.routing.models import Backend, Tier
from controlplane.runtime.models import OutboxRecord
from guardrails import rules as guard_rules
from guardrails.context import Context
from guardrails.engine import compile_rules
from guardrails.models import RuleSet
from moderation import actions, live
from moderation.models import Approval, Decision
from tests.factories import (
    make_approval,
    make_conversation,
    make_moderator,
    make_turn,
)
from tests.guardrails.factories import make_terms
from tests.moderation.rows import EDITED, SAFE, allow

pytestmark = pytest.mark.django_db

APPROVE, EDIT, REJECT = Decision.Verdict


def decide(approval: Approval, **fields: Any) -> Decision:
    fresh = Approval.objects.with_conversation().get(pk=approval.pk)
    defaults = {
        "verdict": APPROVE,
        "text": "",
        "reason": "",
        "fingerprint": fresh.fingerprint,
    }
    moderator = fields.pop("moderator", None) or User.objects.get(username="mira")
    return actions.decide(approval.pk, moderator=moderator, **(defaults | fields))


def sent() -> tuple[OutboxRecord, DecidedResponse]:
    record = OutboxRecord.objects.get()
    return record, msgspec.json.decode(bytes(record.value), type=DecidedResponse)


def test_approving_sends_the_draft_as_it_is(approval: Approval, mira: User) -> None:
    decision = decide(approval)

    record, data = sent()
    approval.refresh_from_db()
    assert approval.state == "approved"
    assert (decision.text, decision.text_sha256) == (
        approval.text,
        approval.text_sha256,
    )
    assert record.topic == "agent.responses.approved"
    assert bytes(record.key or b"").decode() == approval.turn.conversation_id
    assert data.text == approval.text
    assert data.approval_id == str(approval.pk)
    assert data.decided_by == "mira"


def test_a_decision_has_the_time_of_postgresql(
    approval: Approval, mira: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    monkeypatch.setattr(actions, "database_now", lambda: moment)

    assert decide(approval).decided_at == moment


def test_the_record_says_where_it_comes_from(approval: Approval, mira: User) -> None:
    decide(approval)

    record, _ = sent()
    envelope = decode_headers((name, text.encode()) for name, text in record.headers)
    assert envelope.source == "moderation"
    assert envelope.trace_id == approval.turn.trace_id
    assert envelope.parents == (approval.record_id,)
    assert (envelope.workflow, envelope.tier) == ("chat", "free")


@pytest.mark.usefixtures("rules", "mira")
def test_an_edit_sends_the_new_text_with_lines_ended_by_lf(approval: Approval) -> None:
    decision = decide(approval, verdict=EDIT, text=f"{EDITED}\r\nCall us.\r\n \t")

    record, data = sent()
    assert record.topic == "agent.responses.approved"
    assert decision.text == data.text == f"{EDITED}\nCall us."
    assert decision.text_sha256 == data.text_sha256 == sha256(decision.text)


@pytest.mark.usefixtures("rules", "mira")
def test_a_rejection_sends_the_safe_text(approval: Approval) -> None:
    decide(approval, verdict=REJECT, text=SAFE, reason="Too much")

    record, data = sent()
    approval.refresh_from_db()
    assert approval.state == "rejected"
    assert record.topic == "agent.responses.rejected"
    assert (data.text, data.reason) == (SAFE, "Too much")


@pytest.mark.usefixtures("rules", "mira")
@pytest.mark.parametrize(
    ("verdict", "text", "action"),
    [
        (APPROVE, "", "reply_approved"),
        (EDIT, EDITED, "reply_edited"),
        (REJECT, SAFE, "reply_rejected"),
    ],
)
def test_the_audit_log_names_the_decision_and_not_the_texts(
    approval: Approval, verdict: Decision.Verdict, text: str, action: str
) -> None:
    decision = decide(approval, verdict=verdict, text=text, reason="Because of that")

    entry = Entry.objects.get()
    assert (entry.actor, entry.action) == ("mira", action)
    assert entry.trace_id == approval.turn.trace_id
    assert entry.detail == {
        "approval": str(approval.pk),
        "turn": approval.turn_id,
        "team": "discount",
        "draft_sha256": approval.text_sha256,
        "sent_sha256": decision.text_sha256,
    }


def test_the_second_of_two_decisions_is_told_who_was_first(
    approval: Approval, mira: User, jonas: User
) -> None:
    decide(approval, moderator=jonas)

    with pytest.raises(actions.AlreadyDecidedError) as refused:
        decide(approval)

    assert refused.value.decision is not None
    assert refused.value.decision.decided_by == jonas
    assert OutboxRecord.objects.count() == Entry.objects.count() == 1


@pytest.mark.usefixtures("mira")
def test_a_decision_never_overwrites_a_writer_that_took_no_lock(
    approval: Approval, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = actions._check_open
    seen: list[str] = []

    def expire_after_the_last_check(checked: Approval, fingerprint: str) -> None:
        check(checked, fingerprint)
        seen.append(checked.state)
        if len(seen) == 2:
            Approval.objects.filter(pk=checked.pk).update(state="expired")

    monkeypatch.setattr(actions, "_check_open", expire_after_the_last_check)
    with pytest.raises(actions.AlreadyDecidedError):
        decide(approval)

    assert not Decision.objects.exists()
    assert not OutboxRecord.objects.exists()


def test_an_expired_answer_cannot_be_decided(approval: Approval, mira: User) -> None:
    Approval.objects.filter(pk=approval.pk).update(state="expired")

    with pytest.raises(actions.AlreadyDecidedError, match="expired") as refused:
        decide(approval)

    assert refused.value.decision is None


def test_a_decision_on_an_older_conversation_is_refused_once(
    approval: Approval, mira: User
) -> None:
    seen = approval.fingerprint
    newer = make_turn(approval.turn.conversation, text="Hello?")

    with pytest.raises(actions.StaleFingerprintError) as refused:
        decide(approval, fingerprint=seen)

    assert [turn.pk for turn in refused.value.turns] == [newer.pk]
    assert not Decision.objects.exists()
    assert decide(approval, fingerprint=refused.value.fingerprint).pk


@pytest.mark.usefixtures("mira")
@pytest.mark.parametrize("fingerprint", ["", "x", "0" * 64 + ":1", "0" * 64 + ":x"])
def test_a_fingerprint_that_means_nothing_is_stale(
    approval: Approval, fingerprint: str
) -> None:
    with pytest.raises(actions.StaleFingerprintError):
        decide(approval, fingerprint=fingerprint)


@pytest.mark.usefixtures("rules", "mira")
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"verdict": EDIT, "text": " \n"}, "empty"),
        ({"verdict": EDIT, "text": "x" * 8_001}, "8,001 characters"),
        ({"verdict": EDIT, "text": "I can give you 25 % off today.\r\n"}, "Nothing"),
        ({"verdict": EDIT, "text": "a\x00b"}, "character"),
        ({"verdict": EDIT, "text": "a\ud800b"}, "character"),
        ({"verdict": REJECT, "text": "", "reason": "No"}, "empty"),
        ({"verdict": APPROVE, "text": EDITED}, "as it is"),
    ],
)
def test_a_text_that_cannot_be_sent_is_refused(
    approval: Approval, fields: dict[str, Any], error: str
) -> None:
    with pytest.raises(actions.TextError, match=error):
        decide(approval, **fields)

    assert not Decision.objects.exists()


@pytest.mark.usefixtures("rules", "mira")
@pytest.mark.parametrize(
    ("reason", "error"),
    [(" \n", "Say why"), ("x" * 2_001, "2,000"), ("a\x00", "character")],
)
def test_a_rejection_needs_a_reason(
    approval: Approval, reason: str, error: str
) -> None:
    with pytest.raises(actions.ReasonError, match=error):
        decide(approval, verdict=REJECT, text=SAFE, reason=reason)


def test_a_draft_that_is_not_what_was_held_is_not_sent(mira: User) -> None:
    approval = make_approval(text_sha256="0" * 64)

    with pytest.raises(actions.TextError, match="hash"):
        decide(approval)


@pytest.mark.usefixtures("rules", "mira")
@pytest.mark.parametrize(("verdict", "reason"), [(EDIT, ""), (REJECT, "No")])
def test_what_a_rule_would_hold_is_not_sent(
    approval: Approval, verdict: Decision.Verdict, reason: str
) -> None:
    with pytest.raises(actions.GuardrailError, match="Discount above 5 %") as refused:
        decide(approval, verdict=verdict, text="I give 30 % off.", reason=reason)

    assert refused.value.verdict.findings[0].said == "30 %"
    assert not Decision.objects.exists()


@pytest.mark.usefixtures("rules")
def test_who_may_override_a_rule_does_so_with_a_reason(approval: Approval) -> None:
    lead = allow(make_moderator("lena"), "override_guardrail")
    fields: dict[str, Any] = {
        "verdict": EDIT,
        "text": "I give 30 % off.",
        "moderator": lead,
        "override": True,
    }

    with pytest.raises(actions.ReasonError):
        decide(approval, **fields)
    decide(approval, **fields, reason="Agreed with the manager")

    assert Entry.objects.get().detail["overridden"] == "discount-free"


@pytest.mark.usefixtures("rules", "mira")
def test_who_may_not_override_a_rule_cannot(approval: Approval) -> None:
    with pytest.raises(actions.GuardrailError):
        decide(approval, verdict=EDIT, text="30 % off", reason="Go", override=True)


@pytest.mark.usefixtures("mira")
def test_a_canary_acts_on_a_text_in_its_share_of_traces(approval: Approval) -> None:
    body = guard_rules.RuleSet((make_terms(mode="canary", percent=50),))
    engine = compile_rules(body)
    traces: dict[str, str] = {}
    for number in range(50):
        about = Context(
            direction="output", tier="free", workflow="chat", trace_id=f"{number:032x}"
        )
        traces[engine.check("Take a Tesla.", about).action] = about.trace_id
    rule_set = RuleSet.objects.create(
        hash=guard_rules.ruleset_hash(body), body=guard_rules.encode_rule_set(body)
    )
    rule_set.publication_set.create(published_by=make_moderator("lena"), reason="Try")

    turn = Turn.objects.filter(pk=approval.turn_id)
    turn.update(trace_id=traces["replace"])
    with pytest.raises(actions.GuardrailError, match="Brands"):
        decide(approval, verdict=EDIT, text="Take a Tesla.")
    turn.update(trace_id=traces["allow"])
    decide(approval, verdict=EDIT, text="Take a Tesla.")

    assert Decision.objects.get().text == "Take a Tesla."


@pytest.mark.usefixtures("mira")
def test_without_rules_nothing_new_is_sent(approval: Approval) -> None:
    with pytest.raises(actions.GuardrailError, match="no rule-set is published"):
        decide(approval, verdict=EDIT, text=EDITED)


@pytest.mark.usefixtures("rules")
def test_an_override_of_what_cannot_be_checked_is_logged(approval: Approval) -> None:
    rule_set = RuleSet.objects.create(hash="1" * 64, body=b"{}")
    lead = allow(make_moderator("lena"), "override_guardrail")
    rule_set.publication_set.create(published_by=lead, reason="Broken")

    decide(
        approval,
        verdict=EDIT,
        text=EDITED,
        reason="The rules are broken",
        override=True,
        moderator=lead,
    )

    assert Entry.objects.get().detail["overridden"] == "unchecked"


def test_the_safe_text_is_the_fallback_of_the_tier(approval: Approval) -> None:
    assert actions.safe_text_for(approval) == actions.SAFE_TEXT
    backend = Backend.objects.create(name="demo", model="demo")
    Tier.objects.create(name="free", backend=backend, fallback_text="Ask our team.")

    assert actions.safe_text_for(approval) == "Ask our team."


@pytest.mark.usefixtures("rules", "mira")
def test_an_answer_is_checked_and_sent_as_one_of_its_turns_tier() -> None:
    approval = make_approval(make_turn(make_conversation(tier="pro"), tier="free"))
    backend = Backend.objects.create(name="demo", model="demo")
    Tier.objects.create(name="free", backend=backend, fallback_text="Ask our team.")
    assert actions.safe_text_for(approval) == "Ask our team."
    with pytest.raises(actions.GuardrailError, match="Discount above 5 %"):
        decide(approval, verdict=EDIT, text="I give 7 % off.")

    decide(approval)

    record, data = sent()
    assert (data.tier, dict(record.headers)["ilk_tier"]) == ("free", "free")


@pytest.mark.usefixtures("rules", "mira")
def test_an_answer_of_a_turn_without_a_tier_is_of_its_conversations() -> None:
    decide(make_approval(make_turn(make_conversation(tier="pro"))))

    assert sent()[1].tier == "pro"


@pytest.mark.usefixtures("mira")
def test_open_pages_hear_of_it_after_the_commit(
    approval: Approval,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(live, "queue_changed", lambda: told.append("queue"))

    with django_capture_on_commit_callbacks(execute=True):
        decide(approval)
        assert told == []

    assert told == ["queue"]


@pytest.mark.usefixtures("mira")
def test_rows_say_in_the_admin_what_they_are(approval: Approval) -> None:
    assert str(approval) == f"pending approval {approval.pk}"
    assert str(decide(approval)) == f"approve on {approval.pk}"
    assert str(Team(name="Legal")) == "Legal"
