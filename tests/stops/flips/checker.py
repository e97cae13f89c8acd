"""Says of a hard stop, by what was committed, whether it kept its promise.

Pure: rows.py has read the facts. No clock is in it: what came before what is told by PostgreSQL's snapshots.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec


class Snapshot(msgspec.Struct, frozen=True):
    """pg_current_snapshot(): what was committed, as numbers of transactions."""

    oldest_open: int
    next: int
    open: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> "Snapshot":
        oldest_open, following, still_open = text.split(":")
        numbers = [int(each) for each in still_open.split(",") if each]
        return cls(int(oldest_open), int(following), frozenset(numbers))

    def sees(self, transaction: int) -> bool:
        """Only for transactions that were committed in the end."""
        if transaction < self.oldest_open:
            return True
        return transaction < self.next and transaction not in self.open


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """A stop, and what was committed: as the product says, and as the one who flipped it saw."""

    requested: Snapshot  # the product's
    proven: Snapshot  # the product's, under the exclusive lock
    seen: Snapshot  # our own, once we were told that it is proven
    until: Snapshot  # our own, before the release was asked for
    listed: frozenset[str]  # turns that the product says went out before the proof

    @property
    def first_open(self) -> int:
        """Return the number below which all was committed at the proof, by both words."""
        return min(self.proven.oldest_open, self.seen.oldest_open)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A line that its user can fetch. decided: the transaction of a person's yes to it."""

    turn: str
    transaction: int
    decided: int | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    given: frozenset[str]  # turns of which the gate has an answer
    answers: tuple[Answer, ...]
    queue: tuple[str, ...]  # the turn of each approval that waits for a decision
    flips: tuple[Flip, ...]


def differences(facts: Facts) -> list[str]:
    return [
        *leaks(facts),
        *lists_are_right(facts),
        *each_turn_is_in_one_place(facts),
    ]


def leaks(facts: Facts) -> Iterator[str]:
    """Nothing is committed after a proof that no person has decided on since the request.

    A transaction has its number when it begins to write, which is after it asked for stops:
    what is committed later, and has a lower number than the release, was under way during the stop.
    """
    answers = _in_order(facts.answers)
    for number, flip in enumerate(facts.flips):
        for answer in _between(answers, flip.first_open, flip.until.next):
            if not _was_there(answer, flip) and not _is_approved(answer, flip):
                yield f"leak: flip {number}: {answer.turn}"


def _was_there(answer: Answer, flip: Flip) -> bool:
    """Say whether it was committed at the proof, by both words."""
    return flip.proven.sees(answer.transaction) and flip.seen.sees(answer.transaction)


def _is_approved(answer: Answer, flip: Flip) -> bool:
    return answer.decided is not None and not flip.requested.sees(answer.decided)


def lists_are_right(facts: Facts) -> Iterator[str]:
    """What a stop lists as gone out before its proof is what did."""
    answers = _in_order(facts.answers)
    for number, flip in enumerate(facts.flips):
        begun = _between(answers, flip.requested.oldest_open, flip.proven.next)
        went_out = {
            answer.turn
            for answer in begun
            if flip.proven.sees(answer.transaction)
            and not flip.requested.sees(answer.transaction)
        }
        for turn in sorted(went_out - flip.listed):
            yield f"went out, not listed: flip {number}: {turn}"
        for turn in sorted(flip.listed - went_out):
            yield f"listed, did not go out: flip {number}: {turn}"


def _in_order(answers: Iterable[Answer]) -> list[Answer]:
    return sorted(answers, key=lambda answer: answer.transaction)


def _between(answers: Sequence[Answer], first: int, end: int) -> Sequence[Answer]:
    """Return those that took their numbers from first on, and before end."""
    places = [
        bisect_left(answers, number, key=lambda answer: answer.transaction)
        for number in (first, end)
    ]
    return answers[places[0] : places[1]]


def each_turn_is_in_one_place(facts: Facts) -> Iterator[str]:
    """Told once, or once in the queue; never both, and none is lost."""
    told = Counter(answer.turn for answer in facts.answers)
    waits = Counter(facts.queue)
    yield from _not_once(facts.given, told + waits)
    for turn in (told.keys() | waits.keys()) - facts.given:
        yield f"nobody gave it: {turn}"


def _not_once(turns: Iterable[str], places: Counter[str]) -> Iterator[str]:
    for turn in turns:
        if not places[turn]:
            yield f"lost: {turn}"
        elif places[turn] > 1:
            yield f"in {places[turn]} places: {turn}"
