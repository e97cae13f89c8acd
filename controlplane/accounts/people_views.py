"""The pages of people: the list, one person, and joining."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache

from controlplane.accounts import directory, enrolments, people
from controlplane.accounts.access import SignedInRequest
from controlplane.accounts.actions import set_teams
from controlplane.accounts.people_forms import (
    AddForm,
    EntriesForm,
    FilterForm,
    PersonForm,
    RoleForm,
    TeamsForm,
    query_of,
)

MAX_ID = 2**31 - 1  # Django's users have no larger ones


@never_cache
def index(request: SignedInRequest) -> HttpResponse:
    form = FilterForm(request.GET)
    context = directory.page_of(form.cleaned_data if form.is_valid() else None)
    return render(
        request,
        "accounts/people.html",
        {"filters": form, **context, "query": query_of(request, "after")},
        status=200 if form.is_valid() else 422,
    )


@never_cache
def add(request: SignedInRequest) -> HttpResponse:
    if request.method != "POST":
        return _add(request, AddForm(initial={"role": "moderator"}), 200)
    form = AddForm(request.POST)
    if not form.is_valid():
        return _add(request, form, 422)
    try:
        user, code = enrolments.enrol(
            form.cleaned_data.pop("username"),
            about=enrolments.About(**form.cleaned_data),
            actor=request.user,
        )
    except people.TakenError as error:
        form.add_error(error.field, str(error))
    except people.PeopleError as error:
        form.add_error(None, str(error))
    else:
        return show_link(request, user, code)
    return _add(request, form, 422)


def _add(request: HttpRequest, form: AddForm, status: int) -> HttpResponse:
    return render(request, "accounts/add.html", {"form": form}, status=status)


@never_cache
def person(request: SignedInRequest, person_id: int) -> HttpResponse:
    """Its POST changes the name and the address."""
    found = _person(person_id)
    if request.method != "POST":
        return _show(request, found)
    form = PersonForm(request.POST)
    if not form.is_valid():
        return _show(request, found, form=form, status=422)
    try:
        people.change_person(found.pk, **form.cleaned_data, actor=request.user)
    except people.TakenError as error:
        form.add_error(error.field, str(error))
        return _show(request, found, form=form, status=422)
    except people.PeopleError as error:
        return _show(request, found, error=error, status=409)
    return _done(request, found, "Saved.")


def role(request: SignedInRequest, person_id: int) -> HttpResponse:
    found = _person(person_id)
    form = RoleForm(request.POST)
    if not form.is_valid():
        return _show(request, found, role_form=form, status=422)
    chosen: str = form.cleaned_data["role"]
    said = f"The role is now {chosen}." if chosen else "No role any more."
    return _act(
        request,
        found,
        lambda: people.set_role(found.pk, chosen, actor=request.user),
        said,
    )


def teams(request: SignedInRequest, person_id: int) -> HttpResponse:
    found = _person(person_id)
    form = TeamsForm(request.POST)
    if not form.is_valid():
        return _show(request, found, teams_form=form, status=422)
    chosen = form.cleaned_data["teams"]
    return _act(
        request,
        found,
        lambda: set_teams(found, chosen, editor=request.user),
        "Teams saved.",
    )


def disable(request: SignedInRequest, person_id: int) -> HttpResponse:
    found = _person(person_id)
    said = "Disabled: signed out everywhere, and no token works any more."
    return _act(
        request, found, lambda: people.disable(found.pk, actor=request.user), said
    )


def enable(request: SignedInRequest, person_id: int) -> HttpResponse:
    found = _person(person_id)
    return _act(
        request,
        found,
        lambda: people.enable(found.pk, actor=request.user),
        "Enabled: the password and the tokens work again.",
    )


def sign_out(request: SignedInRequest, person_id: int) -> HttpResponse:
    found = _person(person_id)
    return _act(
        request,
        found,
        lambda: people.sign_out(found.pk, actor=request.user),
        "Signed out everywhere.",
    )


def factors(request: SignedInRequest, person_id: int) -> HttpResponse:
    found = _person(person_id)
    return _act(
        request,
        found,
        lambda: people.remove_factors(found.pk, actor=request.user),
        "No second factor any more, and signed out everywhere.",
    )


@never_cache
def link(request: SignedInRequest, person_id: int) -> HttpResponse:
    """Answered by the page itself, not by a redirect: the link is shown once and kept nowhere."""
    found = _person(person_id)
    try:
        code = enrolments.make_link(found.pk, actor=request.user)
    except (people.PeopleError, enrolments.LinkError) as error:
        return _show(request, found, error=error, status=409)
    return show_link(request, found, code)


def show_link(request: SignedInRequest, user: User, code: str) -> HttpResponse:
    """What follows # is not sent to servers: it stands in no log and in no Referer."""
    address = f"{request.build_absolute_uri(reverse('accounts:enrol'))}#{code}"
    context = {"person": user, "link": address, "hours": enrolments.HOURS}
    return render(request, "accounts/link.html", context)


def _act(
    request: SignedInRequest, found: User, act: Callable[[], object], said: str
) -> HttpResponse:
    try:
        act()
    except people.PeopleError as error:
        return _show(request, found, error=error, status=409)
    return _done(request, found, said)


def _done(request: HttpRequest, found: User, said: str) -> HttpResponse:
    messages.success(request, said)
    return redirect("accounts:person", found.pk)


def _person(person_id: int) -> User:
    return get_object_or_404(User, pk=min(person_id, MAX_ID))


def _show(
    request: SignedInRequest, found: User, *, status: int = 200, **given: Any
) -> HttpResponse:
    """given: what was typed, and what is wrong with it."""
    place = EntriesForm(request.GET)
    before = place.cleaned_data["before"] if place.is_valid() else None
    context = directory.person_context(found, before=before)
    fresh, roles = context["person"], context["roles"]
    who = {"name": fresh.get_full_name(), "email": fresh.email}
    context |= {
        "form": PersonForm(initial=who),
        "role_form": RoleForm(initial={"role": roles[0] if roles else ""}),
        "teams_form": TeamsForm(initial={"teams": context["slugs"]}),
        "may_change": request.user.has_perm(people.CHANGE),
        "is_self": found.pk == request.user.pk,
    }
    return render(request, "accounts/person.html", context | given, status=status)
