"""What a person changed, word by word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.traces import diff
from controlplane.traces.diff import Piece, word_diff


def test_names_the_words_that_went_and_came() -> None:
    assert word_diff("We take 25 % off", "We take 12 % off") == [
        Piece("same", "We take "),
        Piece("out", "25"),
        Piece("in", "12"),
        Piece("same", " % off"),
    ]


@given(before=st.text("ab \n", max_size=40), after=st.text("ab \n", max_size=40))
def test_holds_both_texts_whole(before: str, after: str) -> None:
    pieces = word_diff(before, after)

    assert "".join(p.text for p in pieces if p.kind != "in") == before
    assert "".join(p.text for p in pieces if p.kind != "out") == after


def test_does_not_compare_texts_that_would_take_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diff, "MAX_WORDS", 3)

    assert word_diff("a b c", "a b d") == [Piece("out", "a b c"), Piece("in", "a b d")]
