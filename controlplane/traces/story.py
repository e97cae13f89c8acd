"""Everything that a trace's page and the API say of one trace."""

import re
from datetime import datetime

import msgspec
from django.db.models import Prefetch, QuerySet

from controlplane.chat.models import CorrectionCopy, Feedback, Message, Outcome, Turn
from controlplane.deadletters.models import Letter
from controlplane.traces.hops import Hop, hops_of
from controlplane.traces.models import TraceRecord
from moderation.models import Approval

MAX_RECORDS = 500
QUARTERS = 4
_TRACE_ID = re.compile("[0-9a-f]{32}")

# What each state of an outcome is called, and its colour.
WORDS = {
    Outcome.State.OPEN: ("plain", "still running"),
    Outcome.State.HELD: ("hold", "held for a person"),
    Outcome.State.APPROVED: ("work", "approved, not yet delivered"),
    Outcome.State.REJECTED: ("stop", "rejected by a person"),
    Outcome.State.EXPIRED: ("soft", "expired: nobody decided in time"),
    Outcome.State.DELIVERED: ("go", "delivered"),
    Outcome.State.FAILED: ("stop", "failed"),
}


class TurnStory(msgspec.Struct, frozen=True, kw_only=True):
    turn: Turn
    outcome: Outcome | None
    approvals: list[Approval]
    ratings: list[Feedback]
    color: str
    word: str

    @property
    def is_open(self) -> bool:
        return self.outcome is None or self.outcome.state in {
            "open",
            "held",
            "approved",
        }


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """records is how many the index has; hops shows the first MAX_RECORDS of them."""

    trace_id: str
    turns: list[TurnStory]
    hops: list[Hop]
    records: int
    shown: int
    tier: str
    ruleset: str

    @property
    def is_open(self) -> bool:
        return any(turn.is_open for turn in self.turns)

    @property
    def waited_ms(self) -> float:
        return sum(hop.latency_ms for hop in self.hops if hop.waited)

    @property
    def worked_ms(self) -> float:
        return sum(
            hop.latency_ms for hop in self.hops if not (hop.waited or hop.is_after)
        )

    @property
    def ticks(self) -> list[float]:
        """What the waterfall's scale says, in ms: its begin and its quarters."""
        if not self.began_at or not self.ended_at:
            return []
        span_ms = (self.ended_at - self.began_at).total_seconds() * 1000
        return [span_ms * quarter / QUARTERS for quarter in range(QUARTERS)]

    @property
    def began_at(self) -> datetime | None:
        return self.hops[0].at if self.hops else None

    @property
    def ended_at(self) -> datetime | None:
        times = [hop.at for hop in self.hops if not hop.is_after]
        return times[-1] if times else None


def is_trace_id(text: str) -> bool:
    return _TRACE_ID.fullmatch(text) is not None


def read_story(trace_id: str) -> Story | None:
    """Return the trace, or nothing if neither the index nor a turn knows it."""
    if not is_trace_id(trace_id):
        return None
    records = list(TraceRecord.objects.of_trace(trace_id)[: MAX_RECORDS + 1])
    turns = list(_turns(trace_id))
    if not records and not turns:
        return None
    total = len(records)
    if total > MAX_RECORDS:
        total = TraceRecord.objects.of_trace(trace_id).count()
    shown = records[:MAX_RECORDS]
    stories = [_turn_story(turn) for turn in turns]
    return Story(
        trace_id=trace_id,
        turns=stories,
        hops=hops_of(shown, turns, _decided_letters(trace_id)),
        records=total,
        shown=len(shown),
        tier=turns[0].effective_tier if turns else shown[0].tier,
        ruleset=_ruleset(stories),
    )


def _turns(trace_id: str) -> QuerySet[Turn]:
    return (
        Turn.objects.filter(trace_id=trace_id)
        .select_related("conversation")
        .prefetch_related(
            "outcomes",
            "duplicates",
            Prefetch("messages", Message.objects.select_related("feedback")),
            "approvals__decision__decided_by",
            Prefetch(
                "corrections", CorrectionCopy.objects.select_related("correction")
            ),
        )
        .order_by("number", "pk")
    )


def _decided_letters(trace_id: str) -> QuerySet[Letter]:
    letters = Letter.objects.filter(trace_id=trace_id).exclude(state=Letter.State.OPEN)
    return letters.select_related("decided_by")


def _turn_story(turn: Turn) -> TurnStory:
    outcome = next((one for one in turn.outcomes.all() if one.effect == "reply"), None)
    color, word = WORDS[Outcome.State(outcome.state) if outcome else Outcome.State.OPEN]
    approvals = sorted(turn.approvals.all(), key=lambda approval: approval.created_at)
    return TurnStory(
        turn=turn,
        outcome=outcome,
        approvals=approvals,
        ratings=[
            message.feedback
            for message in turn.messages.all()
            if hasattr(message, "feedback")
        ],
        color=color,
        word=word,
    )


def _ruleset(stories: list[TurnStory]) -> str:
    """The rule-set that held an answer; other verdicts are in the payloads alone."""
    hashes = [
        one.verdict.get("ruleset_hash") for story in stories for one in story.approvals
    ]
    return next((found for found in hashes if found), "")
