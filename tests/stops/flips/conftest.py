"""A connection to look with."""

from collections.abc import Iterator

import pytest

from tests.stops.flips.rows import Look


@pytest.fixture
def look() -> Iterator[Look]:
    made = Look()
    yield made
    made.close()
