"""The lamp, the band, the places and their counts, on every page."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from controlplane.accounts import table
from controlplane.home.context import Shell, read_shell
from controlplane.home.lamp import Lamp
from controlplane.home.places import PLACES
from controlplane.stops.models import Stop
from tests.deadletters.making import make_letter
from tests.effects.making import make_effect
from tests.factories import make_admin, make_approval, make_moderator, make_user

pytestmark = pytest.mark.django_db


def lamp_for(user: User | AnonymousUser) -> Lamp | None:
    return shell_of(user).lamp


def shell_of(user: User | AnonymousUser) -> Shell:
    request = RequestFactory().get("/")
    request.user = user
    return read_shell(request)


def engage(
    mode: str, scope: str = "everything", value: str = "", *, is_proven: bool = True
) -> None:
    Stop.objects.create(
        mode=mode,
        scope=scope,
        value=value,
        reason="prices are wrong",
        requested_by="ada",
        proven_at=timezone.now() if is_proven else None,
    )


@pytest.fixture
def ada() -> User:
    return make_admin()


def test_runs_without_a_stop(ada: User) -> None:
    assert lamp_for(ada) == Lamp("running", "Running")


def test_names_the_scope_of_the_only_stop(ada: User) -> None:
    engage("soft", "workflow", "chat")

    assert lamp_for(ada) == Lamp("soft", "Soft stop · chat")


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_a_stop_that_is_not_proven_is_only_requested(ada: User, mode: str) -> None:
    engage(mode, "tier", "free", is_proven=False)

    assert lamp_for(ada) == Lamp(mode, f"{mode.capitalize()} stop requested · free")


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

    monkeypatch.setattr("controlplane.home.lamp.stops_in_force", away)

    assert lamp_for(ada) == Lamp("unknown", "State unknown")


def test_visitors_see_none() -> None:
    assert lamp_for(AnonymousUser()) is None


def counts_of(user: User) -> dict[str, int | None]:
    return {shown.place.slug: shown.count for shown in shell_of(user).places}


def test_places_and_counts_are_for_those_who_may_go_there(ada: User) -> None:
    make_approval()
    make_letter()
    make_effect(state="held")
    make_effect(state="sent")

    uncounted = dict.fromkeys(("room", "stops", "rules", "people", "teams", "demo"))
    assert counts_of(ada) == uncounted | {"queue": 1, "effects": 1, "dead": 1}
    mira = make_moderator()
    uncounted = dict.fromkeys(("room", "stops", "demo"))
    assert counts_of(mira) == uncounted | {"queue": 1, "effects": 1}
    assert counts_of(make_user("nora")) == {"demo": None}


def test_every_place_is_a_page_of_the_table_and_one_is_here() -> None:
    assert {place.route for place in PLACES} <= set(table.ROUTES)
    here = [place.slug for place in PLACES if place.has("deadletters:job")]
    assert here == ["dead"]


def test_the_band_says_what_a_stop_means_for_whoever_reads_it(ada: User) -> None:
    assert shell_of(ada).band is None
    engage("hard", "workflow", "chat", is_proven=False)
    engage("soft", "tier", "free", is_proven=False)
    vera = make_user("vera", "viewer")

    band = shell_of(ada).band
    assert band is not None
    assert (band.state, band.what) == ("hard", "Hard stop on the workflow chat")
    assert "unless one of you decides so" in band.meaning
    assert (band.proof, band.others) == ("requested, not proven yet", 1)
    other = shell_of(vera).band
    assert other is not None
    assert "without a person's decision" in other.meaning

    stop = Stop.objects.get(mode="hard")
    Stop.objects.update(proven_at=stop.requested_at + timedelta(milliseconds=23))
    proven = shell_of(vera).band
    assert proven is not None
    assert proven.proof == "proven in 23 ms"


def test_a_soft_stop_alone_says_what_it_leaves_to_moderators(ada: User) -> None:
    engage("soft", is_proven=False)

    band = shell_of(ada).band
    assert band is not None
    assert band.what == "Soft stop on everything"
    assert "What is held can be decided" in band.meaning
    assert band.proof == "requested, not proven yet"


def test_asks_the_database_the_same_however_much_there_is(
    ada: User, client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(ada)
    address = reverse("home:shell")
    client.get(address)
    for tier in ("free", "pro"):
        engage("hard", "tier", tier)
        make_approval()
        make_letter()

    # Session, user, permissions (two), counts (three), stops, roles.
    with django_assert_num_queries(9):
        text = client.get(address).content.decode()

    assert "Hard stop · 2 scopes" in text
    assert 'id="queue-count"' in text


def test_who_has_signed_out_is_told_so(client: Client) -> None:
    answer = client.get(reverse("home:shell"))

    assert answer.status_code == 200
    assert "Signed out" in answer.content.decode()
