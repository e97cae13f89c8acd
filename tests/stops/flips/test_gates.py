"""No delivery is committed after a hard stop's proof; four wrong gates are found out by the same harness."""

import pytest

from tests.stops.flips import gates
from tests.stops.flips.checker import Facts, differences, leaks
from tests.stops.flips.crew import at_work
from tests.stops.flips.flipper import flip, flip_in_window
from tests.stops.flips.rows import Look

pytestmark = pytest.mark.django_db(transaction=True)

STANDING, FLIPS = 4, 2


def busy(look: Look, *, size: int, flips: int) -> Facts:
    with at_work(gates.gate(None, size=size), size=size) as crew:
        seen = [flip(look, size=size).flip for _ in range(flips)]
    return look.facts(crew.given, seen)


def held_up(look: Look, design: gates.Design) -> Facts:
    with at_work(gates.gate(design, size=STANDING), size=STANDING) as crew:
        flips = [flip_in_window(look, size=STANDING).flip for _ in range(FLIPS)]
    return look.facts(crew.given, flips)


@pytest.mark.parametrize("place", gates.REAL)
def test_the_gate_leaks_nothing_wherever_it_is_held_up(look: Look, place: str) -> None:
    facts = held_up(look, gates.REAL[place])

    assert differences(facts) == []
    assert len(facts.answers) > 0
    assert len(facts.queue) >= STANDING * FLIPS


@pytest.mark.parametrize("design", gates.WRONG)
def test_a_wrong_gate_leaks_every_time(look: Look, design: str) -> None:
    facts = held_up(look, gates.WRONG[design])

    leaked = {line.split(":")[1] for line in leaks(facts)}
    assert leaked == {f" flip {number}" for number in range(FLIPS)}


def test_sixteen_busy_deliverers_leak_nothing(look: Look) -> None:
    facts = busy(look, size=16, flips=12)

    assert differences(facts) == []
    assert len(facts.queue) > 12 * 16


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("hundred", range(10))
@pytest.mark.parametrize("size", [16, 48])
def test_a_thousand_flips_leak_nothing(look: Look, size: int, hundred: int) -> None:
    """In hundreds, each on an empty database."""
    facts = busy(look, size=size, flips=100)

    assert differences(facts) == []
    assert len(facts.queue) > 100 * size
