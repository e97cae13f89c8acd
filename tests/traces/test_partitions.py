"""Partitions: made ahead by the application's role, which can do nothing else to them."""

import pytest

from controlplane.traces import tasks
from controlplane.traces.actions import create_partitions
from tests.owner import connect_as_owner

pytestmark = pytest.mark.django_db(transaction=True)


def test_partitions_of_the_next_months_are_there() -> None:
    assert create_partitions() == 0
    tasks.create_partitions()


def test_the_applications_role_makes_what_is_missing() -> None:
    with connect_as_owner() as owner:
        names = owner.execute(
            "SELECT 'traces_' || kind || to_char(now() + interval '2 months', '_YYYY_MM') "
            "FROM unnest(ARRAY['record', 'payload']) kind"
        ).fetchall()
        for (name,) in names:
            owner.execute(f"DROP TABLE {name}".encode())

    assert create_partitions() == 2
    assert create_partitions() == 0
