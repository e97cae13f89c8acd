"""A hard stop outlives PostgreSQL, and deliverers go on by themselves."""

import pytest

from controlplane.embedded.services import Services
from tests.stops.flips import gates
from tests.stops.flips.checker import Snapshot, differences
from tests.stops.flips.crew import Crew, at_work
from tests.stops.flips.flipper import engage, prove_stop, release, wait_until_over
from tests.stops.flips.rows import Look, flip_of
from tests.waiting import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

SIZE = 16


def await_rounds(crew: Crew) -> None:
    """Return when each of them has settled something that it began now."""
    enough = [rounds + 2 for rounds in crew.rounds]
    wait_for(
        lambda: all(now >= then for now, then in zip(crew.rounds, enough, strict=True)),
        timeout_s=60,
        what="all go on",
    )


def look_once() -> Snapshot:
    """Return what is committed, by a connection that PostgreSQL did not take with it."""
    look = Look()
    wait_until_over(look)
    snapshot = look.snapshot()
    look.close()
    return snapshot


@pytest.mark.timeout(300)
def test_a_stop_outlives_postgresql_and_nothing_is_lost(services: Services) -> None:
    assert services.postgres is not None
    with at_work(gates.gate(None, size=SIZE), size=SIZE) as crew:
        await_rounds(crew)
        stop = engage()
        prove_stop(stop)
        seen = look_once()
        await_rounds(crew)
        services.postgres.kill()
        services.postgres.start()
        await_rounds(crew)
        until = look_once()
        release(stop)
        await_rounds(crew)

    look = Look()
    facts = look.facts(crew.given, [flip_of(stop, seen=seen, until=until)])
    look.close()
    assert differences(facts) == []
    assert len(facts.answers) > 0
    assert len(facts.queue) > 0
