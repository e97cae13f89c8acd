"""The checker finds each difference, and none where there is none."""

import dataclasses
import hashlib
from typing import Any

import pytest

from agents import cloudevents, topics
from tests.soak.checker import Bounds, check
from tests.soak.facts import (
    Approval,
    Audited,
    Client,
    Decided,
    Facts,
    Indexed,
    Line,
    Message,
    Outcome,
    Said,
    Told,
    TopicRecord,
    Turn,
    Window,
)

NOON_S = 1_000_000.0
ANSWERS = topics.RESPONSES_FINAL


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def turn_id(number: int) -> str:
    return cloudevents.ingress_id("c1", f"m{number}")


def final_id(number: int) -> str:
    return cloudevents.derive_id(turn_id(number), "output-guard", ANSWERS, 0)


def record(number: int, *, final: bool) -> TopicRecord:
    return TopicRecord(
        at=(ANSWERS if final else topics.USER_RAW, 0, number),
        event_id=final_id(number) if final else turn_id(number),
        source="output-guard" if final else "widget",
        parents=(turn_id(number),) if final else (),
        trace_id=f"trace{number}",
        turn_id=turn_id(number),
        sha256=f"{number} {final}",
    )


def line(number: int, role: str, *, seq: int = 0, **fields: Any) -> Line:
    is_user = role == "user"
    defaults: dict[str, Any] = {
        "seq": seq or 2 * number + (0 if not is_user else -1),
        "role": role,
        "text": f"{'question' if is_user else 'answer'} {number}",
        "trace_id": f"trace{number}",
        "reply_to": f"m{number}",
        "at_s": NOON_S + 10 * number + (0.1 if is_user else 1.0),
    }
    return Line(**(defaults | fields))


def lines() -> list[Line]:
    return [line(number, role) for number in (1, 2) for role in ("user", "assistant")]


def good() -> Facts:
    """Two questions, each with its answer, and everything as it should be."""
    records = [
        record(number, final=final) for number in (1, 2) for final in (False, True)
    ]
    return Facts(
        clients=[
            Client(
                "user 0",
                "c1",
                said=[
                    Said(
                        f"m{number}",
                        f"question {number}",
                        at_s=NOON_S + 10 * number,
                        trace_id=f"trace{number}",
                        accepted_s=NOON_S + 10 * number,
                    )
                    for number in (1, 2)
                ],
                live=lines(),
                transcript=lines(),
            )
        ],
        records=records,
        indexed=[Indexed(each.at, each.trace_id, each.sha256) for each in records],
        turns=[
            Turn(
                turn_id(number),
                "c1",
                number,
                f"m{number}",
                f"trace{number}",
                NOON_S + 10 * number,
                NOON_S + 10 * number,
            )
            for number in (1, 2)
        ],
        outcomes=[
            Outcome(turn_id(number), "reply", "delivered", final_id(number), "reply")
            for number in (1, 2)
        ],
        messages=[
            Message("c1", turn_id((each.seq + 1) // 2), each, sha256(each.text))
            for each in lines()
        ],
        audited=[
            Audited(
                turn_id(number),
                f"trace{number}",
                sha256(f"answer {number}"),
                2 * number,
            )
            for number in (1, 2)
        ],
    )


def found(facts: Facts) -> list[str]:
    return [str(difference) for difference in check(facts, Bounds(late_s=3))]


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert found(good()) == []


def corrected() -> Facts:
    """The same, and the first answer was corrected afterwards."""
    facts = good()
    told = line(1, "assistant", seq=5, text="not so", is_correction=True)
    return dataclasses.replace(
        facts,
        clients=client(live=[*lines(), told], transcript=[*lines(), told]),
        messages=[
            *facts.messages,
            Message("c1", turn_id(1), told, sha256("not so")),
        ],
        audited=[
            *facts.audited,
            Audited(turn_id(1), "trace1", sha256("not so"), 5),
        ],
    )


def test_a_correction_is_no_second_answer_and_out_of_no_order() -> None:
    assert found(corrected()) == []


def test_a_correction_that_was_told_twice_is_found() -> None:
    facts = corrected()
    told = facts.messages[-1]
    again = dataclasses.replace(told, line=dataclasses.replace(told.line, seq=6))
    twice = dataclasses.replace(facts, messages=[*facts.messages, again])

    assert any("3 answers, 2 audit lines" in each for each in found(twice))


def client(**fields: Any) -> list[Client]:
    return [dataclasses.replace(good().clients[0], **fields)]


def replaced(items: Any, number: int, **fields: Any) -> list[Any]:
    """The items, one of them with other fields."""
    changed = list(items)
    changed[number] = dataclasses.replace(changed[number], **fields)
    return changed


FACTS = good()
DIFFERENCES = {
    "never accepted": {
        "clients": client(said=replaced(FACTS.clients[0].said, 1, accepted_s=0.0))
    },
    "accepted, but no turn": {"turns": FACTS.turns[:1]},
    "accepted, but its turn is not": {
        "turns": replaced(FACTS.turns, 1, accepted_s=0.0)
    },
    "accepted, but not in Kafka": {
        "records": [FACTS.records[0], FACTS.records[1], FACTS.records[3]]
    },
    "a turn that nobody wrote": {"clients": client(said=FACTS.clients[0].said[:1])},
    "0 outcomes": {"outcomes": FACTS.outcomes[:1]},
    "2 outcomes": {"outcomes": [*FACTS.outcomes, FACTS.outcomes[1]]},
    "still open at the end": {"outcomes": replaced(FACTS.outcomes, 1, state="open")},
    "failed, and nobody was told": {
        "outcomes": replaced(FACTS.outcomes, 1, state="failed")
    },
    "delivered, with 0 answers": {"messages": FACTS.messages[:3]},
    "delivered, with 2 answers": {
        "messages": [*FACTS.messages, *replaced(FACTS.messages[3:], 0)]
    },
    "shown again and written differ": {"clients": client(transcript=lines()[:3])},
    "shown live and written differ": {"clients": client(live=lines()[:3])},
    "number 3 after 1": {
        "clients": client(live=[lines()[0], lines()[2], *lines()[1:]])
    },
    "number 2 after 2": {"clients": client(live=[*lines()[:2], *lines()[1:]])},
    "shown what is not its own": {
        "clients": client(said=[dataclasses.replace(FACTS.clients[0].said[0])])
    },
    "refused with": {"clients": client(refusals=["id_reused"])},
    "an answer before its question": {
        "messages": replaced(FACTS.messages, 1, line=line(1, "assistant", seq=0 - 5))
    },
    "answered before turn 1": {
        "messages": replaced(FACTS.messages, 1, line=line(1, "assistant", seq=9))
    },
    "its id is not derived": {"records": replaced(FACTS.records, 1, event_id="other")},
    "lost at the gate": {"records": replaced(FACTS.records, 1, event_id="other")},
    "a dead letter": {
        "records": [
            *FACTS.records,
            dataclasses.replace(FACTS.records[1], at=(topics.DEAD_LETTERS, 0, 0)),
        ]
    },
    "0 times in the index": {"indexed": FACTS.indexed[1:]},
    "2 times in the index": {"indexed": [*FACTS.indexed, FACTS.indexed[0]]},
    "indexed with other bytes": {"indexed": replaced(FACTS.indexed, 0, sha256="x")},
    "indexed, but not in Kafka": {"records": FACTS.records[:3]},
    "1 answers, 0 audit lines": {"audited": FACTS.audited[:1]},
    "1 answers, 2 audit lines": {"audited": [*FACTS.audited, FACTS.audited[1]]},
    "audited is another text": {"audited": replaced(FACTS.audited, 0, sha256="x")},
    "without a fault": {
        "clients": client(live=replaced(lines(), 1, at_s=NOON_S + 14)),
    },
    "without a word": {
        "clients": client(
            live=replaced(lines(), 1, at_s=NOON_S + 14),
            own_words=[Told("trace1", "nothing heard back yet", NOON_S + 15)],
        ),
        "faults": [Window(NOON_S + 8, NOON_S + 12)],
    },
    # What the widget says by itself is for a server that cannot.
    "4.0 s without a word": {
        "clients": client(
            live=replaced(lines(), 1, at_s=NOON_S + 14),
            own_words=[Told("trace1", "nothing heard back yet", NOON_S + 12)],
        ),
    },
}


@pytest.mark.parametrize("what", DIFFERENCES)
def test_a_difference_is_found(what: str) -> None:
    facts = dataclasses.replace(good(), **DIFFERENCES[what])  # type: ignore[arg-type]

    assert any(what in difference for difference in found(facts)), found(facts)


def test_a_decision_must_take_effect() -> None:
    decided = Decided("a1", turn_id(1), "trace1", "approve", "answer 1")
    approved = Approval("a1", turn_id(1), "pending-1", "approved")
    facts = dataclasses.replace(good(), decided=[decided], approvals=[approved])

    assert found(facts) == []
    pending = dataclasses.replace(approved, state="pending")
    [lost] = found(dataclasses.replace(facts, approvals=[pending]))
    assert lost.startswith("trace trace1: Decided(")
    other = dataclasses.replace(decided, text="another")
    [wrong] = found(dataclasses.replace(facts, decided=[other]))
    assert "not the decided text" in wrong


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(
            {"statuses": [Told("trace1", "checking", NOON_S + 11)]}, id="by a status"
        ),
        pytest.param(
            {"own_words": [Told("trace1", "nothing heard back yet", NOON_S + 12)]},
            id="by the widget alone",
        ),
        pytest.param(
            {"away": [Window(NOON_S + 11, NOON_S + 12)]}, id="by being cut off"
        ),
    ],
)
def test_a_late_answer_with_a_fault_and_a_word_is_no_difference(
    told: dict[str, Any],
) -> None:
    late = replaced(lines(), 1, at_s=NOON_S + 14)
    facts = dataclasses.replace(
        good(),
        clients=client(live=late, **told),
        faults=[Window(NOON_S + 8, NOON_S + 12)],
    )

    assert found(facts) == []


def test_another_answer_that_is_known_as_a_duplicate_is_no_difference() -> None:
    other = dataclasses.replace(
        record(1, final=True),
        at=(topics.PENDING, 0, 0),
        event_id=cloudevents.derive_id(turn_id(1), "output-guard", topics.PENDING, 0),
    )
    facts = dataclasses.replace(
        good(),
        records=[*good().records, other],
        indexed=[*good().indexed, Indexed(other.at, other.trace_id, other.sha256)],
    )

    [lost] = found(facts)
    assert "lost at the gate" in lost
    assert (
        found(dataclasses.replace(facts, duplicates=frozenset({other.event_id}))) == []
    )


def test_what_is_held_lets_later_answers_pass() -> None:
    """A reviewed answer comes when it is released."""
    order = [line(1, "user", seq=1), line(2, "user", seq=2)]
    order += [line(2, "assistant", seq=3), line(1, "assistant", seq=4, reviewed=True)]
    by_trace = {f"trace{number}": turn_id(number) for number in (1, 2)}
    facts = dataclasses.replace(
        good(),
        clients=client(live=order, transcript=order),
        messages=[
            Message("c1", by_trace[each.trace_id], each, sha256(each.text))
            for each in order
        ],
        audited=[
            Audited(by_trace[each.trace_id], each.trace_id, sha256(each.text), each.seq)
            for each in order[2:]
        ],
    )

    [early] = found(facts)
    assert "answered before turn 1" in early
    held = Approval("a1", turn_id(1), "pending-1", "approved")
    assert found(dataclasses.replace(facts, approvals=[held])) == []
