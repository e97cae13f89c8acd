"""Tiers and backends: what a change writes besides itself."""

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError

from controlplane.audit.models import Entry
from controlplane.routing import actions
from controlplane.routing.models import Backend, Tier
from controlplane.runtime.models import ControlVersion
from tests.factories import make_admin

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> User:
    return make_admin()


def make_backend(admin: User, name: str = "demo", **fields: object) -> Backend:
    backend = Backend(name=name, model="m", **fields)
    actions.save_backend(backend, reason="new", actor=admin)
    return backend


def route(admin: User, backend: Backend, text: str = "Sorry.") -> Tier:
    return actions.route_tier(
        "pro", backend=backend, fallback_text=text, reason="faster", actor=admin
    )


def test_a_tier_is_routed_to_the_latest_backend(admin: User) -> None:
    first = route(admin, make_backend(admin))
    second = route(admin, make_backend(admin, "other"))

    assert first == second
    assert str(Tier.objects.get()) == "pro"
    assert str(Tier.objects.get().backend) == "other"


def test_a_change_moves_the_version_and_is_on_record(admin: User) -> None:
    backend = make_backend(admin)
    before = ControlVersion.objects.get().version

    route(admin, backend)

    assert ControlVersion.objects.get().version == before + 1
    entry = Entry.objects.get(action="tier_routed")
    assert (entry.actor, entry.subject) == ("ada", "tier:pro")
    assert entry.detail["backend"] == "demo"
    assert entry.detail["reason"] == "faster"
    assert Entry.objects.get(action="backend_saved").detail["model"] == "m"


def test_a_tier_needs_a_text_for_when_nobody_answers(admin: User) -> None:
    with pytest.raises(IntegrityError, match="fallback_text"):
        route(admin, make_backend(admin), "")


def test_a_backend_needs_a_timeout(admin: User) -> None:
    with pytest.raises(IntegrityError, match="timeout_is_positive"):
        make_backend(admin, timeout_s=0)
