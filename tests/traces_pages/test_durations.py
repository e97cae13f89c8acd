"""Lengths of time as people read them."""

import pytest

from controlplane.traces.templatetags.durations import duration


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 ms"),
        (2.14, "2.1 ms"),
        (87, "87 ms"),
        (1_412, "1.41 s"),
        (110_371, "1 m 50 s"),
        (7_500_000, "2 h 5 m"),
    ],
)
def test_lengths_carry_units(ms: float, text: str) -> None:
    assert duration(ms) == text
