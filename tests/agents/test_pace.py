"""How fast an agent is, as the heartbeat tells it."""

from hypothesis import given
from hypothesis import strategies as st

from agents.pace import BUCKET_S, BUCKETS, Pacer

START_S = 1_000_000 * BUCKET_S


def test_is_unknown_until_there_is_something_to_compare() -> None:
    pacer = Pacer()

    assert pacer.note(100, at_s=START_S).per_second is None
    assert pacer.note(130, at_s=START_S + 2).per_second == 15


def test_the_rate_is_over_ten_seconds() -> None:
    pacer = Pacer()
    for second in range(0, 61, 2):
        busy = pacer.note(min(second, 40) * 10, at_s=START_S + second)
        if second == 40:
            assert busy.per_second == 10
        if second == 45:
            assert 0 < (busy.per_second or 0) < 10

    assert busy.per_second == 0


def test_each_half_minute_has_its_count_and_the_oldest_go() -> None:
    pacer = Pacer()
    pacer.note(5, at_s=START_S)
    pacer.note(7, at_s=START_S + BUCKET_S)
    pace = pacer.note(7, at_s=START_S + BUCKET_S + 1)

    assert pace.recent == (0,) * (BUCKETS - 2) + (5, 2)
    assert pace.until == START_S // BUCKET_S + 1

    much_later = pacer.note(8, at_s=START_S + BUCKET_S * BUCKETS)
    assert much_later.recent == (2,) + (0,) * (BUCKETS - 2) + (1,)


def test_a_count_that_fell_began_again() -> None:
    pacer = Pacer()
    pacer.note(100, at_s=START_S)

    assert pacer.note(3, at_s=START_S + 1).recent[-1] == 103


@given(st.lists(st.tuples(st.integers(0, 1_000), st.floats(0, 60)), min_size=1))
def test_nothing_is_lost_within_the_fifteen_minutes(
    steps: list[tuple[int, float]],
) -> None:
    """However often it is told, and whenever."""
    pacer, at_s, done = Pacer(), float(START_S), 0
    for more, wait_s in steps:
        done, at_s = done + more, at_s + min(wait_s, 840 / len(steps))
        pace = pacer.note(done, at_s=at_s)

    assert sum(pace.recent) == done
    assert pace.per_second is None or pace.per_second >= 0
