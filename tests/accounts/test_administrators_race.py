"""Two administrators who demote each other at once: one of them stays."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import connection

from controlplane.accounts import people
from controlplane.accounts.directory import administrators
from controlplane.audit.models import Entry
from tests.factories import make_user
from tests.owner import connect_as_owner
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

_WAITING = (
    "SELECT count(*) = 2 FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Let both begin before either may go on; return what came of each."""

    def run(act: Callable[[], object]) -> object:
        try:
            return act()
        except people.PeopleError as error:
            return type(error)
        finally:
            connection.close()

    with connect_as_owner() as owner, ThreadPoolExecutor(2) as pool:
        with owner.transaction():
            owner.execute("SELECT FROM auth_group WHERE name = 'admin' FOR UPDATE")
            running = [pool.submit(run, act) for act in acts]
            wait_for(both_wait)
        return [one.result(timeout=30) for one in running]


def both_wait() -> bool:
    """A role sees what its own connections wait for."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING)
        return bool(cursor.fetchone()[0])


def test_who_was_demoted_first_no_longer_demotes_the_other() -> None:
    ada, ben = make_user("ada", "admin"), make_user("ben", "admin")

    came = at_once(
        partial(people.set_role, ben.pk, "viewer", actor=ada),
        partial(people.set_role, ada.pk, "viewer", actor=ben),
    )

    assert sorted(came, key=str) == [people.NoLongerAllowedError, True]
    assert administrators().count() == 1
    assert Entry.objects.filter(action="role_changed").count() == 1


def test_of_two_commands_that_take_the_last_two_one_is_refused() -> None:
    ada, ben = make_user("ada", "admin"), make_user("ben", "admin")

    came = at_once(
        partial(people.disable, ben.pk, actor="shell:root"),
        partial(people.set_role, ada.pk, "lead", actor="shell:root"),
    )

    assert sorted(came, key=str) == [people.LastAdministratorError, True]
    assert administrators().count() == 1
