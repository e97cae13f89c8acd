"""What is still owed to users after a stop: whose move it is, and how far it has come."""

from datetime import datetime

import msgspec
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.urls import reverse

from controlplane.chat.models import Outcome, Turn
from controlplane.deadletters.models import Letter
from controlplane.effects.models import Effect
from controlplane.incidents.corrections import undelivered
from controlplane.incidents.reached import sources_of
from controlplane.stops.models import ListedTurn, Stop
from controlplane.stops.receipt import turns_met
from moderation.models import EVERY_TEAM, Approval

AGENTS = "the agents"
WORDS = {
    "open": "on its way",
    "held": "waits for a person",
    "approved": "decided, not yet delivered",
    "rejected": "rejected",
    "expired": "expired",
    "delivered": "delivered",
    "failed": "failed",
}


class Debt(msgspec.Struct, frozen=True, kw_only=True):
    """owner: whose move it is. url: where he makes it, or looks at it."""

    owner: str
    state: str
    at: datetime
    due_at: datetime | None = None
    conversation: str
    trace_id: str
    url: str


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """slug: what these are called by programs. note: what the person does not see of them."""

    slug: str
    name: str
    count: int
    debts: list[Debt]
    note: str = ""

    @property
    def left_out(self) -> int:
        return self.count - len(self.debts)


def owed(stop: Stop, user: User, *, at_most: int | None = None) -> list[Group]:
    """Return it by kind, of each the oldest ones. at_most: None for all of them."""
    return [
        _held(stop, user, at_most),
        _failed(stop, at_most),
        _open(stop, at_most),
        _unknown(stop, at_most),
        _mail(stop, at_most),
        _corrections(stop, at_most),
    ]


def _held(stop: Stop, user: User, at_most: int | None) -> Group:
    pending = Approval.objects.pending().for_user(user).filter(turn__in=_turns(stop))
    rows = pending.select_related("turn").order_by("deadline_at", "pk")
    debts = [
        Debt(
            owner=f"team {row.team}",
            state="waits for a decision",
            at=row.created_at,
            due_at=row.deadline_at,
            conversation=row.turn.conversation_id,
            trace_id=row.turn.trace_id,
            url=reverse("moderation:item", args=[row.pk]),
        )
        for row in rows[:at_most]
    ]
    sees_all = user.has_perm(EVERY_TEAM)
    note = "" if sees_all else "What waits for other teams than yours is not listed."
    return Group(
        slug="held",
        name="Held for people",
        count=pending.count(),
        debts=debts,
        note=note,
    )


def _failed(stop: Stop, at_most: int | None) -> Group:
    failed = _outcomes().filter(state=Outcome.State.FAILED)
    turns = _turns(stop).filter(Exists(failed)).order_by("created_at", "pk")
    rows = list(turns[:at_most])
    letters = dict(
        Letter.objects.open()
        .filter(trace_id__in=[turn.trace_id for turn in rows])
        .values_list("trace_id", "pk")
    )
    debts = [_failure(turn, letters.get(turn.trace_id)) for turn in rows]
    return Group(
        slug="failed",
        name="Failed, without an answer",
        count=turns.count(),
        debts=debts,
    )


def _failure(turn: Turn, letter: int | None) -> Debt:
    if letter is not None:
        return _debt(
            turn,
            owner="who sees to dead letters",
            state="its dead letter is open",
            url=reverse("deadletters:letter", args=[letter]),
        )
    return _debt(turn, owner="nobody yet", state="its user was told that it failed")


def _open(stop: Stop, at_most: int | None) -> Group:
    settled = _outcomes().exclude(state=Outcome.State.OPEN)
    decided = _outcomes().filter(state=Outcome.State.APPROVED)
    is_open = ~Exists(settled) | Exists(decided)
    turns = _turns(stop).filter(is_open).order_by("created_at", "pk")
    debts = [
        _debt(turn, owner=AGENTS, state="on its way", due_at=turn.deadline_at)
        for turn in turns[:at_most]
    ]
    return Group(slug="open", name="Not answered yet", count=turns.count(), debts=debts)


def _unknown(stop: Stop, at_most: int | None) -> Group:
    """Those that were ended by the proof: Kafka gives them to the gate again."""
    listed = stop.listed.filter(fate=ListedTurn.Fate.UNKNOWN).values("turn_id")
    turns = Turn.objects.filter(pk__in=listed).order_by("created_at", "pk")
    rows = list(turns[:at_most])
    states = dict(
        Outcome.objects.filter(effect="reply", turn__in=rows).values_list(
            "turn", "state"
        )
    )
    debts = [
        _debt(
            turn, owner="the gate", state=f"now: {WORDS[states.get(turn.pk, 'open')]}"
        )
        for turn in rows
    ]
    return Group(
        slug="unknown",
        name="Ended by the proof, outcome unknown then",
        count=turns.count(),
        debts=debts,
    )


def _mail(stop: Stop, at_most: int | None) -> Group:
    """What the stop has held or met on its way out, and is not settled yet."""
    met = Q(stop=stop) | Q(listedeffect__stop=stop)
    over = [Effect.State.SENT, Effect.State.DROPPED]
    effects = Effect.objects.filter(met).exclude(state__in=over).distinct()
    debts = [
        Debt(
            owner="who decides on mail",
            state=effect.get_state_display().lower(),
            at=effect.created_at,
            conversation=effect.conversation_id,
            trace_id=effect.trace_id,
            url=reverse("effects:effect", args=[effect.pk]),
        )
        for effect in effects.order_by("pk")[:at_most]
    ]
    return Group(slug="mail", name="Mail", count=effects.count(), debts=debts)


def _corrections(stop: Stop, at_most: int | None) -> Group:
    copies = undelivered(stop)
    debts = [
        Debt(
            owner="the gate"
            if copy.state == copy.State.OWED
            else "who sends corrections",
            state="on its way"
            if copy.state == copy.State.OWED
            else f"refused: {copy.why}",
            at=copy.asked_at,
            conversation=copy.conversation_id,
            trace_id=copy.turn.trace_id,
            url=reverse("incidents:correction", args=[stop.pk, copy.correction_id]),
        )
        for copy in copies[:at_most]
    ]
    return Group(
        slug="corrections",
        name="Corrections that have not arrived",
        count=copies.count(),
        debts=debts,
    )


def _debt(
    turn: Turn, *, owner: str, state: str, due_at: datetime | None = None, url: str = ""
) -> Debt:
    return Debt(
        owner=owner,
        state=state,
        at=turn.created_at,
        due_at=due_at,
        conversation=turn.conversation_id,
        trace_id=turn.trace_id,
        url=url or reverse("traces:trace", args=[turn.trace_id]),
    )


def _turns(stop: Stop) -> "QuerySet[Turn]":
    """Return those that the stop has met; of one agent's also those of which nobody knows whose they are."""
    turns = turns_met(stop)
    if stop.scope != Stop.Scope.AGENT:
        return turns
    of_others = _outcomes().exclude(source__in=[*sources_of(stop.value), ""])
    return turns.exclude(Exists(of_others))


def _outcomes() -> "QuerySet[Outcome]":
    return Outcome.objects.filter(effect="reply", turn=OuterRef("pk"))
