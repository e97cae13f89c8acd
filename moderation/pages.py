"""What the pages of the queue show, read from the database for views and sockets alike."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.safestring import SafeString

from controlplane.accounts.models import Team
from controlplane.chat.models import Message, Outcome, Turn
from controlplane.spoken import spoken
from controlplane.visible import visible as inert
from guardrails.verdicts import Finding, Verdict
from moderation import marks
from moderation.models import EVERY_TEAM, Approval, ApprovalQuerySet, Decision
from moderation.stopped import Meaning, meanings

MOST_ROWS = 60
FINISHED_ROWS = 20
MOST_LINES = 60
NEAR = 0.2  # of the time there was
SHORT = 48


@dataclass(frozen=True)
class Tab:
    slug: str
    name: str
    waiting: int


@dataclass(frozen=True)
class Due:
    """A deadline as it stood when the page was made; queue.js counts on from there."""

    at: datetime
    length_s: int
    state: str
    text: str


@dataclass(frozen=True)
class Why:
    """Why an answer is held: what tripped the rule first, then the sentence."""

    title: str
    figure: str
    limit: str
    is_high: bool
    short: str


@dataclass(frozen=True)
class Row:
    approval: Approval
    team: str
    why: Why
    excerpt: SafeString
    due: Due
    waiting: str
    stops: list[Meaning]


@dataclass(frozen=True)
class Line:
    """A line of the transcript."""

    who: str
    at: datetime
    html: SafeString
    note: str


def clean_team(text: str) -> str:
    """Return a team's name as it may be looked up, whatever stands in the address."""
    return text.replace("\x00", "")


def queue_context(user: User, team: str = "", current: object = None) -> dict[str, Any]:
    """Return the list with its counts, as far as the person may see it.

    A fixed number of queries, however long it is.
    """
    now = timezone.now()
    visible = Approval.objects.for_user(user)
    pending = visible.pending()
    counts = pending.count_by_team()
    names = _teams_of(user)
    urgent = pending.of_team(team).with_conversation().most_urgent_first()
    chosen = list(urgent[:MOST_ROWS])
    stops = meanings(chosen)
    waiting = counts.get(team, 0) if team else sum(counts.values())
    before, after = _beside([str(approval.pk) for approval in chosen], str(current))
    return {
        "team": team,
        "current": str(current or ""),
        "before": before,
        "after": after,
        "query": f"?team={team}" if team else "",
        "tabs": _tabs(names, counts, team),
        "rows": [_row(each, names, now, stops.get(each.pk, [])) for each in chosen],
        "waiting": waiting,
        "unlisted": max(0, waiting - MOST_ROWS),
        "finished": _finished(visible, team),
        "team_names": names,
        "now": now,
    }


def _beside(listed: list[str], current: str) -> tuple[str, str]:
    """Return what is listed before and after the open one; after none comes the first."""
    at = listed.index(current) if current in listed else -1
    before = listed[at - 1] if at > 0 else ""
    return before, "".join(listed[at + 1 : at + 2])


def _teams_of(user: User) -> dict[str, str]:
    teams = Team.objects.all() if user.has_perm(EVERY_TEAM) else user.teams.all()
    return dict(teams.order_by("name", "pk").values_list("slug", "name"))


def _tabs(names: dict[str, str], counts: dict[str, int], team: str) -> list[Tab]:
    slugs = dict.fromkeys([*names, *sorted(counts), *([team] if team else [])])
    every = Tab("", "All", sum(counts.values()))
    return [every, *(Tab(s, names.get(s, s), counts.get(s, 0)) for s in slugs)]


def _finished(visible: ApprovalQuerySet, team: str) -> Sequence[Decision]:
    decisions = Decision.objects.filter(approval__in=visible.of_team(team))
    latest = decisions.select_related("approval", "decided_by").latest_first()
    return list(latest[:FINISHED_ROWS])


def _row(
    approval: Approval, names: dict[str, str], now: datetime, stops: list[Meaning]
) -> Row:
    verdict = verdict_of(approval)
    return Row(
        approval=approval,
        team=names.get(approval.team, approval.team),
        why=why_held(approval, verdict),
        excerpt=_excerpt(approval, verdict),
        due=due_of(approval, now),
        waiting=spoken(now - approval.created_at),
        stops=stops,
    )


def _excerpt(approval: Approval, verdict: Verdict) -> SafeString:
    """Return what tells the answers apart: the question, where nobody has drafted an answer."""
    if not approval.has_draft:
        return marks.excerpt(approval.turn.text, [])
    return marks.excerpt(approval.text, spans_of(verdict))


def item_context(approval: Approval) -> dict[str, Any]:
    """Return one held answer with all a person needs to decide. Read the approval before.

    The fingerprint was read with the approval, so that what is shown is at least what it names.
    """
    verdict = verdict_of(approval)
    now = timezone.now()
    return live_item_context(approval) | {
        "why": why_held(approval, verdict),
        "verdict": verdict,
        "draft": marks.marked(approval.text, spans_of(verdict)),
        "lines": _transcript(approval),
        "due": due_of(approval, now),
        "held_for": spoken(now - approval.created_at),
        "team_name": _team_name(approval.team),
        "ruleset": verdict.ruleset_hash[:7],
    }


def live_item_context(approval: Approval) -> dict[str, Any]:
    """Return what may change while the item is open."""
    decision = decision_of(approval)
    context: dict[str, Any] = {
        "approval": approval,
        "decision": decision,
        "newer": [] if decision else newer_lines(_turns_after(approval)),
        "stops": meanings([approval]).get(approval.pk, []),
    }
    if decision:
        context |= {
            "delivery": _delivery(approval),
            "sent": inert(decision.text),
            "changes": marks.changes(approval.text, decision.text),
            "decided_by": name_of(decision.decided_by),
        }
    return context


def decision_of(approval: Approval) -> Decision | None:
    return (
        Decision.objects.select_related("decided_by").filter(approval=approval).first()
    )


def next_pending(user: User, team: str, *, after: Approval) -> Approval | None:
    """Return the most urgent of those that still wait, of the same team if one is chosen."""
    visible = Approval.objects.for_user(user)
    waiting = visible.pending().of_team(team).exclude(pk=after.pk)
    return waiting.with_conversation().most_urgent_first().first()


def newer_lines(turns: Iterable[Turn]) -> list[Line]:
    return [_question(turn, note="after the draft") for turn in turns]


def verdict_of(approval: Approval) -> Verdict:
    """Return the verdict that held it. One that cannot be read says so, and holds it still."""
    try:
        return msgspec.convert(approval.verdict, Verdict)
    except msgspec.ValidationError as error:
        return Verdict(action="escalate", error=f"its verdict cannot be read ({error})")


def spans_of(verdict: Verdict) -> list[marks.Span]:
    """A hit that is of the whole text, such as a score, marks no place in it."""
    return [
        (hit.start, hit.end, hit.name)
        for hit in verdict.findings
        if hit.start < hit.end
    ]


def name_of(user: User) -> str:
    return user.get_full_name() or user.get_username()


def why_held(approval: Approval, verdict: Verdict) -> Why:
    winners = [hit for hit in verdict.findings if hit.action == verdict.action]
    if verdict.reason and not verdict.error:
        return Why(
            title="Asked for a person",
            figure="Write the answer",
            limit="",
            is_high=False,
            short=verdict.reason[:SHORT],
        )
    if verdict.error or not winners:
        figure = "Not checked" if verdict.error else "Held"
        return Why(
            title="Held for a person",
            figure=figure,
            limit="",
            is_high=False,
            short=approval.why[:SHORT],
        )
    return _why(max(winners, key=lambda hit: hit.number or 0))


def _why(hit: Finding) -> Why:
    """The only field that thresholds read is a percentage; expressions and scores have numbers of any kind."""
    figure, limit = f"“{_short(hit.said)}”" if hit.said else "Held", ""
    unit = " %" if hit.kind == "threshold" else ""
    if hit.limit is not None:
        limit = f"limit {hit.limit:g}{unit}"
        if hit.number is not None:
            figure, limit = f"{hit.number:g}{unit}", f"{hit.side} {hit.limit:g}{unit}"
    return Why(
        title=hit.name,
        figure=figure,
        limit=limit,
        is_high=hit.severity == "high",
        short=f"{figure} {limit}".strip(),
    )


def _short(text: str) -> str:
    return text if len(text) <= SHORT else f"{text[:SHORT]}…"


def due_of(approval: Approval, now: datetime) -> Due:
    left = approval.deadline_at - now
    length = approval.deadline_at - approval.created_at
    seconds = int(abs(left.total_seconds()))
    clock = f"{seconds // 60}:{seconds % 60:02d}"
    if left < timedelta(0):
        state, text = "past", f"{clock} past its deadline"
    else:
        state = "near" if left < length * NEAR else "fine"
        text = f"{clock} left"
    return Due(approval.deadline_at, int(length.total_seconds()), state, text)


def _transcript(approval: Approval) -> list[Line]:
    """Return what both sides have seen, then what the customer wrote that Kafka has yet to confirm."""
    held = approval.turn
    messages = Message.objects.filter(conversation=held.conversation_id)
    shown = messages.select_related("turn").order_by("-seq")[:MOST_LINES]
    lines = [_line(message, held) for message in reversed(shown)]
    unconfirmed = Turn.objects.filter(conversation=held.conversation_id).exclude(
        messages__role=Message.Role.USER
    )
    pending = unconfirmed.exclude(text="").order_by("number")
    return lines + [_question(turn, note="not confirmed yet") for turn in pending]


def _line(message: Message, held: Turn) -> Line:
    is_user = message.role == Message.Role.USER
    if is_user:
        is_later = message.turn.number > held.number
        note = "after the draft" if is_later else ""
        note = "the question" if message.turn_id == held.pk else note
    elif message.copy_id:
        note = "a correction to an earlier answer"
    else:
        note = "reviewed by a person" if message.reviewed else ""
    return Line(
        who="Customer" if is_user else "Assistant",
        at=message.delivered_at,
        html=inert(message.text),
        note=note,
    )


def _question(turn: Turn, *, note: str) -> Line:
    text = turn.text or "(a message whose text has not arrived yet)"
    return Line("Customer", turn.created_at, inert(text), note)


def _turns_after(approval: Approval) -> list[Turn]:
    held = approval.turn
    later = Turn.objects.filter(
        conversation=held.conversation_id, number__gt=held.number
    )
    return list(later.order_by("number"))


def _team_name(slug: str) -> str:
    return Team.objects.filter(slug=slug).values_list("name", flat=True).first() or slug


def _delivery(approval: Approval) -> tuple[str, str]:
    """Return the state and the words for what has become of a decision so far."""
    reply = Message.objects.filter(
        turn=approval.turn_id, role=Message.Role.ASSISTANT, copy=None
    ).first()
    if reply:
        return "go", f"The customer has it since {reply.delivered_at:%H:%M:%S} UTC."
    outcome = Outcome.objects.filter(
        turn=approval.turn_id, effect=approval.effect
    ).first()
    if outcome and outcome.state == Outcome.State.REJECTED:
        return "stop", "A hard stop keeps the safe text back."
    if Approval.objects.pending().filter(turn=approval.turn_id).exists():
        return "hold", "Held again by a stop: it waits for another decision."
    return "plain", "On its way: the gate has not confirmed it yet."
