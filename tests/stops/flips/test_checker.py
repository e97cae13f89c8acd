"""The checker of hard stops finds what it is there to find."""

from typing import Any

import msgspec
import pytest

from tests.stops.flips.checker import Answer, Facts, Flip, Snapshot, differences

# Transactions: 10 before the request, 20 between it and the proof, 30 during the stop, 40 after it.
FLIP = Flip(
    requested=Snapshot.parse("15:15:"),
    proven=Snapshot.parse("25:25:"),
    seen=Snapshot.parse("26:26:"),
    until=Snapshot.parse("35:35:"),
    listed=frozenset({"between"}),
)
RIGHT = Facts(
    given=frozenset({"before", "between", "held", "approved", "after"}),
    answers=(
        Answer(turn="before", transaction=10),
        Answer(turn="between", transaction=20),
        Answer(turn="approved", transaction=31, decided=30),
        Answer(turn="after", transaction=40),
    ),
    queue=("held",),
    flips=(FLIP,),
)


def found(**planted: Any) -> list[str]:
    return differences(msgspec.structs.replace(RIGHT, **planted))


def with_answer(**fields: Any) -> list[str]:
    planted = Answer(turn="planted", **fields)
    given = RIGHT.given | {"planted"}
    return found(given=given, answers=(*RIGHT.answers, planted))


def test_what_is_right_is_left_alone() -> None:
    assert found() == []


@pytest.mark.parametrize("transaction", [25, 26, 30, 34])
def test_a_leak_is_found(transaction: int) -> None:
    assert with_answer(transaction=transaction) == ["leak: flip 0: planted"]


def test_a_leak_that_is_committed_after_the_release_is_found() -> None:
    """It was under way at the proof and at the release."""
    flip = msgspec.structs.replace(
        FLIP,
        requested=Snapshot.parse("12:15:12"),
        proven=Snapshot.parse("12:25:12"),
        seen=Snapshot.parse("12:26:12"),
        until=Snapshot.parse("12:35:12"),
    )
    planted = (*RIGHT.answers, Answer(turn="held", transaction=12))

    assert found(flips=(flip,), answers=planted, queue=()) == ["leak: flip 0: held"]


@pytest.mark.parametrize("right", ["proven", "seen"])
def test_a_leak_is_found_if_one_of_both_did_not_see_it_at_the_proof(right: str) -> None:
    late = dict.fromkeys(("proven", "seen"), Snapshot.parse("30:30:"))
    flip = msgspec.structs.replace(
        FLIP, **(late | {right: Snapshot.parse("25:25:")}), listed=RIGHT.given
    )
    leaked = Answer(turn="held", transaction=27)

    assert "leak: flip 0: held" in found(
        flips=(flip,), answers=(*RIGHT.answers, leaked), queue=()
    )


def test_a_decision_of_before_the_request_is_no_approval() -> None:
    assert with_answer(transaction=30, decided=9) == ["leak: flip 0: planted"]


def test_each_stop_asks_for_itself() -> None:
    later = Flip(
        requested=Snapshot.parse("45:45:"),
        proven=Snapshot.parse("50:50:"),
        seen=Snapshot.parse("50:50:"),
        until=Snapshot.parse("60:60:"),
        listed=frozenset(),
    )
    planted = (*RIGHT.answers, Answer(turn="held", transaction=55, decided=30))

    assert found(flips=(FLIP, later), answers=planted, queue=()) == [
        "leak: flip 1: held"
    ]


def test_the_list_of_what_went_out_must_be_complete_and_no_longer() -> None:
    flip = msgspec.structs.replace(FLIP, listed=frozenset({"before"}))

    assert found(flips=(flip,)) == [
        "went out, not listed: flip 0: between",
        "listed, did not go out: flip 0: before",
    ]


@pytest.mark.parametrize(
    ("planted", "says"),
    [
        ({"queue": ()}, "lost: held"),
        ({"queue": ("held", "held")}, "in 2 places: held"),
        ({"queue": ("held", "after")}, "in 2 places: after"),
        ({"queue": ("held", "ghost")}, "nobody gave it: ghost"),
        (
            {"answers": (*RIGHT.answers, Answer(turn="after", transaction=41))},
            "in 2 places: after",
        ),
    ],
)
def test_each_turn_is_in_one_place(planted: dict[str, Any], says: str) -> None:
    assert found(**planted) == [says]


def test_a_snapshot_sees_what_was_committed() -> None:
    snapshot = Snapshot.parse("5:9:5,7")

    assert [number for number in range(3, 11) if snapshot.sees(number)] == [3, 4, 6, 8]
