"""The lamp and the queue's count, on every page."""

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import OperationalError
from django.test import RequestFactory

from controlplane.home.context import Lamp, shell
from controlplane.stops.models import Stop
from tests.factories import make_admin, make_approval, make_user

pytestmark = pytest.mark.django_db


def lamp_for(user: User | AnonymousUser) -> Lamp | None:
    request = RequestFactory().get("/")
    request.user = user
    return shell(request).get("lamp")


def engage(mode: str, scope: str = "everything", value: str = "") -> None:
    Stop.objects.create(
        mode=mode,
        scope=scope,
        value=value,
        reason="prices are wrong",
        requested_by="ada",
    )


@pytest.fixture
def ada() -> User:
    return make_admin()


def test_runs_without_a_stop(ada: User) -> None:
    assert lamp_for(ada) == Lamp("running", "Running")


def test_names_the_scope_of_the_only_stop(ada: User) -> None:
    engage("soft", "workflow", "chat")

    assert lamp_for(ada) == Lamp("soft", "Soft stop · chat")


def test_a_hard_stop_outshines_soft_ones(ada: User) -> None:
    engage("soft")
    engage("hard", "tier", "free")
    engage("hard", "agent", "responder")

    assert lamp_for(ada) == Lamp("hard", "Hard stop · 2 scopes")


def test_without_the_database_it_says_that_nobody_knows(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("controlplane.home.context.read_lamp", away)

    assert lamp_for(ada) == Lamp("unknown", "State unknown")


def test_visitors_see_none() -> None:
    assert lamp_for(AnonymousUser()) is None


def test_the_queues_count_is_for_those_who_may_see_the_queue(ada: User) -> None:
    make_approval()
    request = RequestFactory().get("/")
    request.user = ada
    assert shell(request)["pending_count"] == 1

    request.user = make_user("nora")
    assert shell(request)["pending_count"] is None
