"""Every write to moderation tables. Pages and the API call these."""

import re
from collections.abc import Callable
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction

from agents import topics
from agents.cloudevents import Envelope, derive_id
from agents.events import DecidedResponse
from controlplane import locks, written
from controlplane.accounts.models import Team
from controlplane.audit import actions as audit
from controlplane.chat.models import Conversation, Turn
from controlplane.chat.turns import sha256
from controlplane.clock import database_now
from controlplane.routing.models import Tier
from controlplane.runtime.actions import enqueue
from guardrails.rules import TEAMS
from guardrails.verdicts import Verdict
from moderation import guard, live
from moderation.models import EVERY_TEAM, Approval, Decision

DECIDE_LOCK_MS = 2_000  # the gate holds a conversation for milliseconds
OVERRIDE = "moderation.override_guardrail"
SAFE_TEXT = "I'm sorry, I can't help with that. Please contact us directly."

_STATES = {
    Decision.Verdict.APPROVE: Approval.State.APPROVED,
    Decision.Verdict.EDIT: Approval.State.APPROVED,
    Decision.Verdict.REJECT: Approval.State.REJECTED,
}
_TOPICS = {
    Approval.State.APPROVED: topics.RESPONSES_APPROVED,
    Approval.State.REJECTED: topics.RESPONSES_REJECTED,
}
_LOGGED = {
    Decision.Verdict.APPROVE: "reply_approved",
    Decision.Verdict.EDIT: "reply_edited",
    Decision.Verdict.REJECT: "reply_rejected",
}


Also = Callable[[Decision], None]


class AlreadyDecidedError(Exception):
    """Somebody else decided first; decision is theirs, or None where the deadline did."""

    def __init__(self, decision: Decision | None) -> None:
        super().__init__(f"already decided: {decision or 'expired'}")
        self.decision = decision


class StaleFingerprintError(Exception):
    """The person did not see all of it; here is the new fingerprint, and what the user wrote since."""

    def __init__(self, fingerprint: str, turns: list[Turn]) -> None:
        super().__init__("the conversation has gone on")
        self.fingerprint = fingerprint
        self.turns = turns


class BusyError(Exception):
    """Something else holds the conversation for too long. Nothing was changed; it may be tried again."""

    def __init__(self) -> None:
        super().__init__(
            "Something else is being written to this conversation. "
            "Nothing was sent. Send your decision again in a moment."
        )


class InvalidDecisionError(Exception):
    """The decision cannot be taken in this form; field names what is to be put right."""

    field = ""


class TextError(InvalidDecisionError):
    """The text cannot be sent."""

    field = "text"


class ReasonError(InvalidDecisionError):
    """The reason is missing, or too long."""

    field = "reason"


class GuardrailError(InvalidDecisionError):
    """A rule in force would hold the text; verdict says which."""

    field = "text"

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(_refusal(verdict))
        self.verdict = verdict


class OtherTeamError(Exception):
    """The answer waits for a team that the person is not in."""

    def __init__(self, team: str) -> None:
        super().__init__(f"It waits for the team {team}, and you are not in it.")
        self.needs = EVERY_TEAM


def _nothing_more(_: Decision) -> None:
    """Most decisions have nothing that must commit with them."""


def decide(  # noqa: PLR0913 - what a person sends, field by field
    approval_id: UUID | str,
    *,
    verdict: Decision.Verdict,
    text: str,
    reason: str,
    fingerprint: str,
    moderator: User,
    override: bool = False,
    also: Also = _nothing_more,
) -> Decision:
    """Close the approval with the verdict, and send what the user is to get to the gate.

    text: what the user gets instead, for edit and reject; nothing for approve. The rules run
    before any lock is taken. Of two people who decide at once, one gets AlreadyDecidedError.
    OtherTeamError if it is not this person's to decide on. BusyError if the conversation stays
    locked. Not inside a transaction. also: called in the
    decision's own, for what has to commit with it.
    """
    approval = Approval.objects.with_conversation().get(pk=approval_id)
    check_team(approval, moderator)
    _check_open(approval, fingerprint)
    reason = _clean_reason(reason, is_required=override or verdict == "reject")
    text = _clean_text(approval, verdict, text)
    overridden = _check_rules(approval, verdict, text, moderator if override else None)
    decision = Decision(
        approval=approval,
        verdict=verdict,
        text=text,
        text_sha256=sha256(text),
        reason=reason,
        decided_by=moderator,
    )
    try:
        with locks.atomic(lock_timeout_ms=DECIDE_LOCK_MS):
            _close(decision, fingerprint, overridden)
            also(decision)
    except locks.LockTimeoutError as error:
        raise BusyError from error
    return decision


def _close(decision: Decision, fingerprint: str, overridden: list[str]) -> None:
    """Write the decision and all that follows from it.

    Locks the conversation first: the gate does so too, and the outbox rows of one key are
    written under that lock.
    """
    turn = decision.approval.turn
    Conversation.objects.select_for_update().get(pk=turn.conversation_id)
    approval = Approval.objects.with_conversation().get(pk=decision.approval_id)
    _check_open(approval, fingerprint)
    state = _STATES[Decision.Verdict(decision.verdict)]
    if not Approval.objects.pending().filter(pk=approval.pk).update(state=state):
        raise AlreadyDecidedError(_decision_of(approval))
    decision.approval = approval
    decision.decided_at = database_now()  # compared with that of stops
    decision.save(force_insert=True)
    approval.state = state
    _send(decision)
    _log(decision, overridden)
    transaction.on_commit(live.queue_changed, robust=True)


def check_team(approval: Approval, user: User) -> None:
    if not Approval.objects.for_user(user).filter(pk=approval.pk).exists():
        raise OtherTeamError(approval.team)


def safe_text_for(approval: Approval) -> str:
    """Return what the user of a rejected answer gets, unless the moderator writes another."""
    tier = approval.turn.effective_tier
    texts = Tier.objects.filter(name=tier).values_list("fallback_text", flat=True)
    return texts.first() or SAFE_TEXT


# Checks


def _check_open(approval: Approval, fingerprint: str) -> None:
    if not approval.is_pending:
        raise AlreadyDecidedError(_decision_of(approval))
    if fingerprint != approval.fingerprint:
        raise StaleFingerprintError(
            approval.fingerprint, _turns_since(approval, fingerprint)
        )


def _decision_of(approval: Approval) -> Decision | None:
    return (
        Decision.objects.select_related("decided_by").filter(approval=approval).first()
    )


def _turns_since(approval: Approval, fingerprint: str) -> list[Turn]:
    """Return what the user wrote after what was seen; after the draft, if that cannot be told."""
    seen = re.fullmatch(r"[0-9a-f]{64}:([0-9]{1,9})", fingerprint)
    number = int(seen[1]) if seen else approval.turn.number
    return list(
        Turn.objects.filter(
            conversation=approval.turn.conversation_id, number__gt=number
        ).order_by("number")
    )


def _clean_reason(reason: str, *, is_required: bool) -> str:
    reason = written.lines(reason).strip()
    if problem := written.problem_of_reason(reason, is_required=is_required):
        raise ReasonError(problem)
    return reason


def _clean_text(approval: Approval, verdict: Decision.Verdict, text: str) -> str:
    if verdict == Decision.Verdict.APPROVE:
        return _approved_text(approval, text)
    text = written.normalise(text)
    if problem := written.problem_of_text(text):
        raise TextError(problem)
    if verdict == Decision.Verdict.EDIT and text == written.normalise(approval.text):
        raise TextError("Nothing was changed. Approve it to send it as it is.")
    return text


def _approved_text(approval: Approval, text: str) -> str:
    if text not in {"", approval.text}:
        raise TextError(
            "Approving sends the draft as it is. Edit it to send another text."
        )
    if sha256(approval.text) != approval.text_sha256:
        raise TextError("The draft is not the text that was held: its hash differs.")
    return approval.text


def _check_rules(
    approval: Approval, verdict: Decision.Verdict, text: str, overrider: User | None
) -> list[str]:
    """Return the rules that were overridden. What a rule has held is approved as it is."""
    if verdict == Decision.Verdict.APPROVE:
        return []
    turn = approval.turn
    workflow = turn.conversation.workflow
    return check_text(
        text,
        tier=turn.effective_tier,
        workflow=workflow,
        trace_id=turn.trace_id,
        overrider=overrider,
    )


def check_text(
    text: str, *, tier: str, workflow: str, overrider: User | None, trace_id: str = ""
) -> list[str]:
    """Return the rules that were overridden; GuardrailError if they hit and may not be."""
    found = guard.check(text, tier=tier, workflow=workflow, trace_id=trace_id)
    if guard.does_pass(found):
        return []
    if overrider is None or not overrider.has_perm(OVERRIDE):
        raise GuardrailError(found)
    hits = {hit.rule for hit in guard.refusing(found)}
    return sorted(hits) or ["unchecked"]


def _refusal(verdict: Verdict) -> str:
    if verdict.error:
        return f"The text could not be checked: {verdict.error}."
    hits = guard.refusing(verdict)
    named = dict.fromkeys(f"{hit.name} (“{hit.said}”)" for hit in hits)
    return f"A rule holds this text: {'; '.join(named)}."


# What follows from a decision


def _send(decision: Decision) -> None:
    approval = decision.approval
    turn, conversation = approval.turn, approval.turn.conversation
    topic = _TOPICS[Approval.State(approval.state)]
    data = DecidedResponse(
        turn_id=turn.pk,
        conversation_id=conversation.pk,
        tier=turn.effective_tier,
        approval_id=str(approval.pk),
        text=decision.text,
        text_sha256=decision.text_sha256,
        decided_by=decision.decided_by.get_username(),
        reason=decision.reason,
    )
    envelope = Envelope(
        id=derive_id(str(approval.pk), "moderation", topic, 0),
        type=type(data).__name__,
        source="moderation",
        trace_id=turn.trace_id,
        subject=conversation.user,
        workflow=conversation.workflow,
        tier=turn.effective_tier,
        parents=(approval.record_id,),
    )
    enqueue(topic, key=conversation.pk, data=data, envelope=envelope)


def _log(decision: Decision, overridden: list[str]) -> None:
    approval = decision.approval
    detail = {
        "approval": str(approval.pk),
        "turn": approval.turn_id,
        "team": approval.team,
        "draft_sha256": approval.text_sha256,
        "sent_sha256": decision.text_sha256,
    }
    if overridden:
        detail["overridden"] = ", ".join(overridden)
    audit.record(
        decision.decided_by,
        _LOGGED[Decision.Verdict(decision.verdict)],
        f"approval:{approval.pk}",
        trace_id=approval.turn.trace_id,
        detail=detail,
    )


# Teams


class TeamError(Exception):
    """A team that has to stay; the text says why."""


@transaction.atomic
def delete_team(team_id: int, *, by: User) -> None:
    """TeamError if answers wait for it, or may come for it at any time."""
    team = Team.objects.select_for_update().get(pk=team_id)
    if team.slug in TEAMS:
        raise TeamError("Rules send held answers to it, so it stays.")
    waiting = Approval.objects.pending().of_team(team.slug).count()
    if waiting == 1:
        raise TeamError("1 held answer waits for it: decide on it first.")
    if waiting:
        raise TeamError(f"{waiting} held answers wait for it: decide on them first.")
    detail = {
        "name": team.name,
        "members": sorted(team.members.values_list("username", flat=True)),
    }
    team.delete()
    audit.record(by, "team_deleted", f"team:{team.slug}", detail=detail)
