from hypothesis import given
from hypothesis import strategies as st

from agents.ledger import Ledger


@given(data=st.data())
def test_the_offset_to_commit_is_the_end_of_the_contiguous_finished_prefix(
    data: st.DataObject,
) -> None:
    """Offsets may have gaps, as in compacted topics; begin and finish mix in any order."""
    steps = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=30))
    offsets = [sum(steps[: n + 1]) for n in range(len(steps))]
    ledger, begun, finished = Ledger(), list[int](), set[int]()
    waiting = offsets.copy()

    while waiting or set(begun) - finished:
        still_open = sorted(set(begun) - finished)
        if waiting and (not still_open or data.draw(st.booleans())):
            begun.append(waiting.pop(0))
            ledger.begin(begun[-1])
        else:
            offset = data.draw(st.sampled_from(still_open))
            ledger.start(offset)
            ledger.finish(offset)
            finished.add(offset)
        assert ledger.next_offset() == _expected(begun, finished)
        assert ledger.position() == (_expected(begun, finished) or begun[0])
        assert ledger.in_flight == len(set(begun) - finished)

    assert ledger.next_offset() == offsets[-1] + 1
    assert ledger.running == 0


def _expected(begun: list[int], finished: set[int]) -> int | None:
    """The simplest thing that is right: walk from the start to the first gap."""
    end = None
    for offset in begun:
        if offset not in finished:
            return end
        end = offset + 1
    return end


def test_nothing_is_to_be_committed_before_anything_was_finished() -> None:
    ledger = Ledger()

    assert ledger.next_offset() is None
    assert ledger.position() is None

    ledger.begin(7)

    assert ledger.next_offset() is None
    assert ledger.position() == 7


def test_a_start_that_kafka_does_not_know_is_to_be_committed() -> None:
    ledger = Ledger(5)

    assert ledger.next_offset() == ledger.position() == 5

    ledger.begin(7)
    ledger.finish(7)

    assert ledger.next_offset() == 8


def test_running_counts_what_is_started_and_not_done() -> None:
    ledger = Ledger()
    for offset in range(3):
        ledger.begin(offset)

    ledger.start(0)
    ledger.start(1)
    ledger.finish(1)

    assert ledger.running == 1
    assert ledger.in_flight == 2
