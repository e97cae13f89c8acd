"""Until a restored database knows what came after its backup, nobody but its owner uses it."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from django.db import ProgrammingError, connections, transaction

from controlplane.backups import rights
from controlplane.runtime.models import ControlVersion

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


class PulledOutError(Exception):
    """The process ends in the middle."""


def may_read() -> bool:
    with suppress(ProgrammingError), transaction.atomic():
        return ControlVersion.objects.exists()
    return False


@pytest.fixture
def rights_again() -> Iterator[None]:
    yield
    with rights.owner_alone():
        pass


def test_the_application_has_its_rights_again_when_all_went_well() -> None:
    with rights.owner_alone():
        assert may_read()
        assert connections["default"].settings_dict["USER"] == "interlock_owner"

    assert may_read()
    assert connections["default"].settings_dict["USER"] == "interlock"


@pytest.mark.usefixtures("rights_again")
def test_it_has_none_if_it_did_not() -> None:
    with pytest.raises(PulledOutError), rights.owner_alone():
        raise PulledOutError

    assert not may_read()
