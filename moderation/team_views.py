"""The pages of teams: who is in which, and how much waits for it. They are among the pages of people."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache

from controlplane.accounts.access import SignedInRequest
from controlplane.accounts.actions import join_team, leave_team, save_team
from controlplane.accounts.models import Team
from moderation import actions
from moderation.models import Approval
from moderation.team_forms import AddTeamForm, JoinForm, TeamForm

MAX_ID = 2**31 - 1  # Django's users have no larger ones
DECIDES = "moderation.decide_approval"


@never_cache
def index(request: SignedInRequest) -> HttpResponse:
    if request.method != "POST":
        return _index(request, AddTeamForm(), 200)
    form = AddTeamForm(request.POST)
    if not form.is_valid():
        return _index(request, form, 422)
    made: Team = form.save(commit=False)
    save_team(made, editor=request.user)
    return redirect("teams:team", made.slug)


def _index(request: SignedInRequest, form: AddTeamForm, status: int) -> HttpResponse:
    waiting = Approval.objects.pending().count_by_team()
    teams = [
        {"team": team, "waiting": waiting.get(team.slug, 0)}
        for team in _teams().order_by("name", "pk")
    ]
    context = {"teams": teams, "form": form}
    return render(request, "accounts/teams.html", context, status=status)


@never_cache
def team(request: SignedInRequest, slug: str) -> HttpResponse:
    """Its POST changes the name."""
    found = _team(slug)
    if request.method != "POST":
        return _show(request, found)
    form = TeamForm(request.POST)
    if not form.is_valid():
        return _show(request, found, status=422, form=form)
    found.name = form.cleaned_data["name"]
    save_team(found, editor=request.user)
    return _done(request, found, "Saved.")


def join(request: SignedInRequest, slug: str) -> HttpResponse:
    found = _team(slug)
    form = JoinForm(request.POST)
    if not form.is_valid():
        return _show(request, found, status=422, join_form=form)
    person: User = form.cleaned_data["username"]
    join_team(found, person, editor=request.user)
    return _done(request, found, f"{person.get_username()} is in the team.")


def leave(request: SignedInRequest, slug: str, person_id: int) -> HttpResponse:
    found = _team(slug)
    person = get_object_or_404(User, pk=min(person_id, MAX_ID))
    leave_team(found, person, editor=request.user)
    return _done(request, found, f"{person.get_username()} is no longer in the team.")


def delete(request: SignedInRequest, slug: str) -> HttpResponse:
    found = _team(slug)
    try:
        actions.delete_team(found.pk, by=request.user)
    except actions.TeamError as error:
        return _show(request, found, status=409, error=error)
    messages.success(request, f"{found.name} is deleted.")
    return redirect("teams:list")


def _teams() -> QuerySet[Team]:
    members = User.objects.order_by("username")
    return Team.objects.prefetch_related(Prefetch("members", members))


def _team(slug: str) -> Team:
    return get_object_or_404(_teams(), slug=slug)


def _done(request: SignedInRequest, found: Team, said: str) -> HttpResponse:
    messages.success(request, said)
    return redirect("teams:team", found.slug)


def _show(
    request: SignedInRequest, found: Team, *, status: int = 200, **given: Any
) -> HttpResponse:
    fresh = _team(found.slug)
    context = {
        "team": fresh,
        "waiting": Approval.objects.pending().of_team(fresh.slug).count(),
        "candidates": _candidates(fresh),
        "form": TeamForm(initial={"name": fresh.name}),
        "join_form": JoinForm(),
    }
    return render(request, "accounts/team.html", context | given, status=status)


def _candidates(team: Team) -> QuerySet[User]:
    """Return who could be of use in the team, for the browser to complete."""
    deciding = User.objects.with_perm(
        DECIDES, backend="django.contrib.auth.backends.ModelBackend"
    )
    return deciding.exclude(teams=team).order_by("username")[:200]
