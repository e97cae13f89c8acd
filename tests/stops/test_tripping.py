"""When a rule of automatic stops trips, as plain calls: exactly the threshold does not."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.stops import tripping
from controlplane.stops.tripping import Figure, Terms, Verdict

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
LAST_50 = Terms(metric="flagged_share", threshold=20, window=50, minimum=50)
DEAD = Terms(metric="dead_letters_per_minute", threshold=1, window=300)
LAG = Terms(metric="lag_records", threshold=10_000, window=60)


def judge(terms: Terms, figure: Figure, *, armed_s: float = 3_600) -> Verdict:
    armed_at = NOW - timedelta(seconds=armed_s)
    return tripping.judge(terms, figure, armed_at=armed_at, now=NOW)


@pytest.mark.parametrize(
    ("flagged", "items", "trips"),
    [
        (10, 50, False),  # exactly 20 %
        (11, 50, True),
        (49, 50, True),
        (50, 50, True),
        (49, 49, False),  # one too few to say
        (0, 50, False),
        (0, 0, False),
    ],
)
def test_more_than_a_fifth_of_the_last_fifty_trips(
    flagged: int, items: int, *, trips: bool
) -> None:
    assert judge(LAST_50, Figure(count=flagged, items=items)).trips is trips


@given(
    items=st.integers(0, 1_000),
    share=st.floats(0, 1),
    threshold=st.integers(1, 999),
    minimum=st.integers(1, 1_000),
)
def test_a_share_trips_above_its_threshold_from_its_minimum_on_and_never_else(
    items: int, share: float, threshold: int, minimum: int
) -> None:
    """In whole numbers, as one would count by hand: thresholds are tenths of a per cent."""
    count = round(items * share)
    terms = Terms(
        metric="flagged_share", threshold=threshold / 10, window=1_000, minimum=minimum
    )

    verdict = judge(terms, Figure(count=count, items=items))

    assert verdict.trips == (items >= minimum and count * 1_000 > threshold * items)
    if verdict.closeness is not None:
        assert (verdict.closeness > 1) == (count * 1_000 > threshold * items)


@pytest.mark.parametrize(("letters", "trips"), [(0, False), (5, False), (6, True)])
def test_a_rate_is_of_the_whole_window(letters: int, *, trips: bool) -> None:
    verdict = judge(DEAD, Figure(count=letters))

    assert (verdict.value, verdict.trips) == (letters / 5, trips)


@pytest.mark.parametrize(
    ("records", "above_s", "armed_s", "trips", "note"),
    [
        (10_000, None, 3_600, False, ""),
        (10_001, 0, 3_600, False, "over it for 0 s of 60 s"),
        (10_001, 59, 3_600, False, "over it for 59 s of 60 s"),
        (10_001, 60, 3_600, True, ""),
        # Since before a person let it go on: that person has seen it.
        (
            10_001,
            900,
            600,
            False,
            "was over it before; counts again once it has come down",
        ),
    ],
)
def test_a_lag_trips_when_it_has_risen_since_and_stayed(
    records: int, above_s: float | None, armed_s: float, *, trips: bool, note: str
) -> None:
    since = None if above_s is None else NOW - timedelta(seconds=above_s)

    verdict = judge(LAG, Figure(count=records, above_since=since), armed_s=armed_s)

    assert (verdict.trips, verdict.note) == (trips, note)


EARLIER = NOW - timedelta(minutes=5)


@pytest.mark.parametrize(
    ("figure", "before", "expected"),
    [
        (Figure(count=10_001), None, NOW),
        (Figure(count=10_001), EARLIER, EARLIER),
        (Figure(count=10_000), EARLIER, None),
        (Figure(unknown="Kafka is away"), EARLIER, EARLIER),
        (Figure(unknown="Kafka is away"), None, None),
    ],
)
def test_since_when_a_lag_is_above_is_remembered_while_nobody_knows(
    figure: Figure, before: datetime | None, expected: datetime | None
) -> None:
    assert tripping.above_since(LAG, figure, before=before, now=NOW) == expected


@pytest.mark.parametrize("metric", tripping.METRICS)
def test_what_is_not_known_never_trips_and_says_why(metric: str) -> None:
    terms = Terms(metric=metric, threshold=0.001, window=1)

    verdict = judge(terms, Figure(count=9, items=9, unknown="Kafka is away"))

    assert verdict == Verdict(says="Kafka is away")


def test_how_close_it_is_is_told_also_below_and_with_too_few() -> None:
    verdict = judge(LAST_50, Figure(count=4, items=40))

    assert (verdict.value, verdict.closeness) == (10, 0.5)
    assert verdict.says == "4 of the last 40 replies (10 %) flagged"
    assert verdict.note == "too few to trip: 40 of 50"


@pytest.mark.parametrize(
    ("terms", "figure", "reason"),
    [
        (
            LAST_50,
            Figure(count=11, items=50),
            "flagged_share: 11 of the last 50 replies (22 %) flagged; trips above 20 %",
        ),
        (
            DEAD,
            Figure(count=12),
            (
                "dead_letters_per_minute: 12 dead letters in 300 s (2.4 per minute); "
                "trips above 1 per minute"
            ),
        ),
        (
            LAG,
            Figure(count=12_345, about="responder on agent.requests.free"),
            (
                "lag_records: 12,345 records behind: responder on agent.requests.free; "
                "trips above 10,000 records"
            ),
        ),
    ],
)
def test_the_reason_holds_the_numbers(
    terms: Terms, figure: Figure, reason: str
) -> None:
    assert tripping.reason(terms, judge(terms, figure)) == reason


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        (LAST_50, "More than 20 % of the last 50 replies flagged"),
        (
            DEAD,
            "Dead letters at more than 1 per minute, over 300 s",
        ),
        (LAG, "More than 10,000 records behind, for 60 s"),
    ],
)
def test_a_rule_is_said_in_a_sentence(terms: Terms, says: str) -> None:
    assert tripping.condition(terms) == says


@pytest.mark.parametrize(
    ("metric", "scope", "value", "refused"),
    [
        ("flagged_share", "tier", "pro", ""),
        ("model_error_share", "agent", "responder", ""),
        ("model_error_share", "workflow", "chat", ""),
        (
            "model_error_share",
            "agent",
            "output-guard",
            "Model calls are not known of agent output-guard alone; they are made by responder.",
        ),
        (
            "dead_letters_per_minute",
            "tier",
            "pro",
            (
                "Dead letters cannot be told apart by tier; a rule on them may be for: "
                "everything, workflow, agent."
            ),
        ),
        (
            "flagged_share",
            "conversation",
            "c_1",
            (
                "Flagged replies cannot be told apart by conversation; a rule on them may be "
                "for: everything, workflow, agent, tier."
            ),
        ),
    ],
)
def test_what_cannot_be_told_apart_for_a_scope_is_refused(
    metric: str, scope: str, value: str, refused: str
) -> None:
    assert tripping.refusal(metric, scope, value) == refused


@pytest.mark.parametrize(
    ("stop", "rule", "expected"),
    [
        (("everything", ""), ("tier", "pro"), True),
        (("tier", "pro"), ("tier", "pro"), True),
        (("tier", "pro"), ("tier", "free"), False),
        (("workflow", "chat"), ("agent", "responder"), True),
        (("agent", "responder"), ("workflow", "chat"), False),
        (("agent", "responder"), ("everything", ""), False),
        (("conversation", "c_1"), ("everything", ""), False),
    ],
)
def test_a_stop_covers_a_rule_when_it_stops_all_that_the_rule_would(
    stop: tuple[str, str], rule: tuple[str, str], *, expected: bool
) -> None:
    assert tripping.covers(*stop, rule_scope=rule[0], rule_value=rule[1]) is expected
