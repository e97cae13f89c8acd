"""Compares what clients were told with the topics, the outcomes, the trace index and the audit log.

Pure: collect.py has gathered the facts, and every rule here is a function of them.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from agents import cloudevents, topics
from tests.soak.facts import Client, Difference, Facts, Line, Message, Said

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

# A turn that Kafka has not confirmed for so long lets later ones pass.
GIVEN_UP_S = 10.0
# Who may answer a turn: each other record of these topics must be known as a duplicate.
ANSWERS = {topics.RESPONSES_FINAL, topics.USER_BLOCKED, *topics.ALL_PENDING}
MOST_OUTPUTS = 4  # of one record to one topic


@dataclass(frozen=True)
class Bounds:
    """late_s: from here on an answer is late. recovery_s: how long a healed fault may be felt."""

    late_s: float = 3.0
    recovery_s: float = 15.0


def check(facts: Facts, bounds: Bounds) -> list[Difference]:
    found = [
        *accepted_ones_are_known(facts),
        *one_outcome(facts),
        *transcripts_agree(facts),
        *nothing_is_shown_twice(facts),
        *answers_stand_in_order(facts),
        *decisions_took_effect(facts),
        *ids_are_derived(facts),
        *one_answer_is_acted_on(facts),
        *index_holds_each_record_once(facts),
        *audit_has_each_delivery(facts),
        *late_turns_say_so(facts, bounds),
    ]
    return list(dict.fromkeys(found))


# Turns


def accepted_ones_are_known(facts: Facts) -> Iterator[Difference]:
    """What was asked was accepted in the end, is a turn, and is in Kafka."""
    turns = {turn.id: turn for turn in facts.turns}
    in_kafka = {
        record.event_id for record in facts.records if record.at[0] == topics.USER_RAW
    }
    known = set()
    for client, said in _said(facts):
        turn_id = cloudevents.ingress_id(client.conversation_id, said.client_id)
        known.add(turn_id)
        if not said.accepted_s:
            yield Difference(said.trace_id, f"{client.name}: never accepted: {said}")
        elif turn_id not in turns:
            yield Difference(said.trace_id, f"accepted, but no turn: {said}")
        elif not turns[turn_id].accepted_s:
            yield Difference(said.trace_id, f"accepted, but its turn is not: {said}")
        if said.accepted_s and turn_id not in in_kafka:
            yield Difference(said.trace_id, f"accepted, but not in Kafka: {said}")
    for turn in facts.turns:
        if turn.id not in known:
            yield Difference(turn.trace_id, f"a turn that nobody wrote: {turn}")


def one_outcome(facts: Facts) -> Iterator[Difference]:
    by_turn = _grouped(facts.outcomes, lambda outcome: outcome.turn_id)
    answers = Counter(
        message.turn_id for message in facts.messages if message.line.is_answer
    )
    told = {
        told.trace_id
        for client in facts.clients
        for told in client.statuses
        if told.state == "failed"
    }
    for turn in facts.turns:
        outcomes = by_turn.get(turn.id, [])
        if len(outcomes) != 1:
            yield Difference(turn.trace_id, f"{len(outcomes)} outcomes: {turn}")
        for outcome in outcomes:
            if outcome.state in {"open", "held", "approved"}:
                what = f"still {outcome.state} at the end: {turn}"
                yield Difference(turn.trace_id, what)
            if outcome.state == "failed" and turn.trace_id not in told:
                yield Difference(turn.trace_id, f"failed, and nobody was told: {turn}")
            if outcome.state == "delivered" and answers[turn.id] != 1:
                what = f"delivered, with {answers[turn.id]} answers: {turn}"
                yield Difference(turn.trace_id, what)


# What widgets show


def transcripts_agree(facts: Facts) -> Iterator[Difference]:
    """A widget that comes back shows what the database has, neither more nor less."""
    rows = _grouped(facts.messages, lambda message: message.conversation_id)
    for client in facts.clients:
        written = sorted(
            (message.line for message in rows.get(client.conversation_id, [])),
            key=lambda line: line.seq,
        )
        for shown, which in ((client.transcript, "again"), (client.live, "live")):
            for line in _unequal(shown, written):
                what = f"{client.name}: shown {which} and written differ: {line}"
                yield Difference(line.trace_id, what)


def nothing_is_shown_twice(facts: Facts) -> Iterator[Difference]:
    """Live, over all connections of a widget: each number once, rising without a gap."""
    for client in facts.clients:
        last = 0
        for line in client.live:
            if line.seq != last + 1:
                what = f"{client.name}: number {line.seq} after {last}: {line}"
                yield Difference(line.trace_id, what)
            last = max(last, line.seq)
        for refusal in client.refusals:
            yield Difference("", f"{client.name}: refused with {refusal}")
        asked = {said.client_id for said in client.said}
        for line in client.live:
            if line.reply_to not in asked:
                what = f"{client.name}: shown what is not its own: {line}"
                yield Difference(line.trace_id, what)


def answers_stand_in_order(facts: Facts) -> Iterator[Difference]:
    """An answer stands after its question, and answers come in the order of their questions."""
    turns = {turn.id: turn for turn in facts.turns}
    by_conversation = _grouped(facts.messages, lambda message: message.conversation_id)
    passed = _passed(facts)
    for unordered in by_conversation.values():
        messages = sorted(unordered, key=lambda message: message.line.seq)
        yield from _before_their_questions(messages)
        answers = [
            turns[message.turn_id]
            for message in messages
            if message.line.is_answer and message.turn_id not in passed
            if message.turn_id in turns
        ]
        for earlier, later in pairwise(answers):
            if earlier.number > later.number:
                what = f"answered before turn {later.number}: {earlier}"
                yield Difference(earlier.trace_id, what)


def _before_their_questions(messages: Iterable[Message]) -> Iterator[Difference]:
    asked = set()
    for message in messages:
        if message.line.role == "user":
            asked.add(message.turn_id)
        elif message.turn_id not in asked:
            yield Difference(
                message.line.trace_id, f"an answer before its question: {message.line}"
            )


def _passed(facts: Facts) -> set[str]:
    """Return the turns that block nobody: held ones, and those that were given up meanwhile."""
    return {approval.turn_id for approval in facts.approvals} | {
        turn.id
        for turn in facts.turns
        if turn.accepted_s - turn.created_s > GIVEN_UP_S - 1
    }


def decisions_took_effect(facts: Facts) -> Iterator[Difference]:
    approvals = {approval.id: approval for approval in facts.approvals}
    outcomes = {outcome.turn_id: outcome for outcome in facts.outcomes}
    texts = {
        message.turn_id: message.line.text
        for message in facts.messages
        if message.line.is_answer
    }
    for decided in facts.decided:
        wanted = "rejected" if decided.verdict == "reject" else "approved"
        ends = "rejected" if decided.verdict == "reject" else "delivered"
        approval = approvals.get(decided.approval_id)
        outcome = outcomes.get(decided.turn_id)
        if approval is None or approval.state != wanted:
            yield Difference(decided.trace_id, f"{decided}, but {approval}")
        elif outcome is None or outcome.state != ends:
            yield Difference(decided.trace_id, f"{decided}, but {outcome}")
        elif decided.text and texts.get(decided.turn_id) != decided.text:
            yield Difference(decided.trace_id, f"not the decided text: {decided}")


# Records


def ids_are_derived(facts: Facts) -> Iterator[Difference]:
    """A record that is written again after a crash has the id that it had before."""
    own = {turn.trace_id for turn in facts.turns}
    for record in facts.records:
        topic = record.at[0]
        if topic == topics.DEAD_LETTERS:
            if record.trace_id in own:
                yield Difference(record.trace_id, f"a dead letter: {record}")
        elif len(record.parents) == 1 and topic not in _DECIDED:
            derived = _derived(record.parents[0], record.source, topic)
            if record.event_id not in derived:
                yield Difference(record.trace_id, f"its id is not derived: {record}")


def one_answer_is_acted_on(facts: Facts) -> Iterator[Difference]:
    """Of the records that answer a turn, one decides and the others are known as duplicates."""
    outcomes = _grouped(facts.outcomes, lambda outcome: outcome.turn_id)
    held = _grouped(facts.approvals, lambda approval: approval.turn_id)
    turns = {turn.id for turn in facts.turns}
    for record in facts.records:
        if record.at[0] not in ANSWERS or record.turn_id not in turns:
            continue
        acted_on = {each.record_id for each in outcomes.get(record.turn_id, [])}
        acted_on |= {each.record_id for each in held.get(record.turn_id, [])}
        if record.event_id not in acted_on | facts.duplicates:
            yield Difference(record.trace_id, f"lost at the gate: {record}")


_DECIDED = {
    topics.RESPONSES_APPROVED,
    topics.RESPONSES_REJECTED,
    topics.RESPONSES_EXPIRED,
}


def _derived(parent: str, source: str, topic: str) -> set[str]:
    return {
        cloudevents.derive_id(parent, source, topic, number)
        for number in range(MOST_OUTPUTS)
    }


def index_holds_each_record_once(facts: Facts) -> Iterator[Difference]:
    counts = Counter(row.at for row in facts.indexed)
    hashes = {row.at: row.sha256 for row in facts.indexed}
    there = {record.at for record in facts.records}
    for record in facts.records:
        if counts[record.at] != 1:
            what = f"{counts[record.at]} times in the index: {record}"
            yield Difference(record.trace_id, what)
        elif hashes[record.at] != record.sha256:
            yield Difference(record.trace_id, f"indexed with other bytes: {record}")
    for row in facts.indexed:
        if row.at not in there:
            yield Difference(row.trace_id, f"indexed, but not in Kafka: {row}")


def audit_has_each_delivery(facts: Facts) -> Iterator[Difference]:
    audited = _grouped(facts.audited, lambda line: line.turn_id)
    delivered = _grouped(
        (message for message in facts.messages if message.line.role != "user"),
        lambda message: message.turn_id,
    )
    for turn in facts.turns:
        messages = delivered.get(turn.id, [])
        lines = audited.get(turn.id, [])
        if len(lines) != len(messages):
            what = f"{len(messages)} answers, {len(lines)} audit lines: {turn}"
            yield Difference(turn.trace_id, what)
        said = {(line.seq, line.sha256) for line in lines}
        if said != {(message.line.seq, message.sha256) for message in messages}:
            yield Difference(turn.trace_id, f"audited is another text: {turn}")


# Time


def late_turns_say_so(facts: Facts, bounds: Bounds) -> Iterator[Difference]:
    """A late answer has a fault as its cause, and its user was told while waiting."""
    waits_for_person = {approval.turn_id for approval in facts.approvals}
    for client, said in _said(facts):
        turn_id = cloudevents.ingress_id(client.conversation_id, said.client_id)
        answer = _answer(client, said)
        if answer is None or not said.accepted_s or turn_id in waits_for_person:
            continue
        wait_s = answer.at_s - said.accepted_s
        if wait_s <= bounds.late_s:
            continue
        has_cause = any(
            fault.overlaps(said.accepted_s, answer.at_s, after_s=bounds.recovery_s)
            for fault in facts.faults
        )
        if not has_cause:
            what = f"{client.name}: {wait_s:.1f} s without a fault: {said}"
            yield Difference(said.trace_id, what)
        if not _was_told(client, said, answer, by_itself=has_cause):
            what = f"{client.name}: {wait_s:.1f} s without a word: {said}"
            yield Difference(said.trace_id, what)


def _answer(client: Client, said: Said) -> Line | None:
    answers = (
        line
        for line in client.live
        if line.is_answer and line.reply_to == said.client_id
    )
    return next(answers, None)


def _was_told(client: Client, said: Said, answer: Line, *, by_itself: bool) -> bool:
    """Tell whether the widget showed a state of the turn, or that it is not connected.

    by_itself: whether it may also have been its own word that nothing was heard.
    """
    told = [*client.statuses, *(client.own_words if by_itself else ())]
    return any(
        each.trace_id == said.trace_id and each.at_s <= answer.at_s for each in told
    ) or any(away.overlaps(said.accepted_s, answer.at_s) for away in client.away)


# Tools


def _said(facts: Facts) -> Iterator[tuple[Client, Said]]:
    for client in facts.clients:
        for said in client.said:
            yield client, said


def _grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def _unequal(shown: Sequence[Line], written: Sequence[Line]) -> list[Line]:
    """Return the lines of one that the other has not, or not as often."""
    more, less = Counter(shown), Counter(written)
    return [*(more - less).elements(), *(less - more).elements()]
