"""Records as facts: what each topic's record claims."""

from datetime import UTC, datetime
from typing import Any

import pytest

from agents import topics
from agents.events import (
    BlockedMessage,
    CorrectionCopy,
    DecidedResponse,
    FinalResponse,
    ModelRequest,
    Payload,
    PendingResponse,
    UserMessage,
)
from controlplane.chat.facts import fact_of, facts_of
from guardrails.verdicts import Verdict
from tests.chat.making import ESCALATE, TRACE, event, finding

TURN: dict[str, Any] = {"turn_id": "t1", "conversation_id": "c1", "tier": "pro"}
ALLOW = Verdict(action="allow")


def test_a_users_message_opens_the_turn_of_its_own_id() -> None:
    said = UserMessage(
        conversation_id="c1", text="hi", user="u_1", tier="pro", client_id="7"
    )

    fact = fact_of(event(topics.USER_RAW, said, id="t1", source="widget"))

    assert (fact.kind, fact.turn_id, fact.record_id) == ("opened", "t1", "t1")
    assert (fact.user, fact.tier, fact.client_id, fact.text) == (
        "u_1",
        "pro",
        "7",
        "hi",
    )
    assert (fact.trace_id, fact.source) == (TRACE, "widget")
    assert fact.coordinates == (topics.USER_RAW, 0, 0)


@pytest.mark.parametrize(
    ("topic", "data", "said"),
    [
        (
            topics.USER_BLOCKED,
            BlockedMessage(**TURN, text="bad", reply="no", verdict=ALLOW),
            ("reply", "no", "refusal"),
        ),
        (
            topics.RESPONSES_FINAL,
            FinalResponse(**TURN, text="yes", verdict=ALLOW),
            ("reply", "yes", "reply"),
        ),
        (
            topics.RESPONSES_FINAL,
            FinalResponse(**TURN, text="sorry", kind="fallback", verdict=ALLOW),
            ("reply", "sorry", "fallback"),
        ),
    ],
    ids=["blocked", "final", "fallback"],
)
def test_a_safe_text_is_a_reply_of_its_kind(
    topic: str, data: Payload, said: tuple[str, str, str]
) -> None:
    fact = fact_of(event(topic, data))

    assert (fact.kind, fact.text, fact.text_kind) == said
    assert (fact.turn_id, fact.conversation_id, fact.tier) == ("t1", "c1", "pro")


@pytest.mark.parametrize("topic", topics.ALL_PENDING)
def test_a_pending_answer_is_held_for_its_team(topic: str) -> None:
    data = PendingResponse(
        **TURN, question="q", text="25 %", team="legal", verdict=ESCALATE
    )

    fact = fact_of(event(topic, data))

    assert (fact.kind, fact.text, fact.team) == ("hold", "25 %", "legal")
    assert fact.reason == "Held for a person"
    assert fact.verdict == ESCALATE


@pytest.mark.parametrize(
    ("action", "flagged"),
    [
        ("allow", False),
        ("tag", False),
        ("replace", True),
        ("block", True),
        ("escalate", True),
    ],
)
def test_a_reply_is_flagged_that_its_guard_did_not_pass_as_it_was(
    action: str, *, flagged: bool
) -> None:
    verdict = Verdict(action=action)  # type: ignore[arg-type]
    final = FinalResponse(**TURN, text="x", kind="fallback", verdict=verdict)
    held = PendingResponse(**TURN, question="q", text="x", team="", verdict=verdict)

    for data in (final, held):
        assert fact_of(event(topics.PENDING, data)).is_flagged is flagged


@pytest.mark.parametrize(
    ("data", "source"),
    [
        (
            PendingResponse(**TURN, question="q", text="x", team="", verdict=ESCALATE),
            "input-guard",
        ),
        (BlockedMessage(**TURN, text="bad", reply="no", verdict=ALLOW), "input-guard"),
        (
            DecidedResponse(
                **TURN, approval_id="a", text="x", text_sha256="", decided_by="mira"
            ),
            "moderation",
        ),
    ],
)
def test_what_no_output_guard_has_judged_is_neither(data: Payload, source: str) -> None:
    topic = topics.RESPONSES_APPROVED
    assert fact_of(event(topic, data, source=source)).is_flagged is None


@pytest.mark.parametrize("kind", ["approved", "rejected", "expired"])
def test_a_decided_answer_is_what_its_topic_says(kind: str) -> None:
    data = DecidedResponse(
        **TURN,
        approval_id="a1",
        text="ok",
        text_sha256="",
        decided_by="mira",
        reason="r",
    )

    fact = fact_of(event(f"agent.responses.{kind}", data))

    assert (fact.kind, fact.approval_id, fact.text, fact.reason) == (
        kind,
        "a1",
        "ok",
        "r",
    )


@pytest.mark.parametrize("kind", ["approved", "rejected"])
def test_what_names_a_correction_is_one_whatever_its_topic(kind: str) -> None:
    """So that no topic makes a decision about its turn of it."""
    data = DecidedResponse(
        **TURN,
        approval_id="a1",
        text="not so",
        text_sha256="",
        decided_by="mona",
        correction=CorrectionCopy(
            correction_id="k\x00",
            seen_turn=3,
            asked_at=datetime(2026, 3, 2, tzinfo=UTC),
        ),
    )

    fact = fact_of(event(f"agent.responses.{kind}", data))

    assert (fact.kind, fact.correction_id, fact.turn_id, fact.text) == (
        "correction",
        "k␀",
        "t1",
        "not so",
    )
    assert fact.approval_id == ""


def test_nul_becomes_visible_wherever_people_may_read_it() -> None:
    verdict = Verdict(action="escalate", findings=(finding(said="a\x00b", number=2.5),))
    data = PendingResponse(**TURN, question="q", text="\x00", team="", verdict=verdict)

    fact = fact_of(event(topics.PENDING, data))

    assert fact.text == "␀"
    assert "\x00" not in fact.reason
    assert fact.verdict == Verdict(
        action="escalate", findings=(finding(said="a␀b", number=2.5),)
    )


def test_a_record_that_says_nothing_about_an_outcome_is_an_error() -> None:
    with pytest.raises(TypeError, match="ModelRequest"):
        facts_of([event(topics.REQUESTS[0], ModelRequest(**TURN, text="q"))])
