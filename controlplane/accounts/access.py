"""Lets nobody through whom the table does not let through, before any view runs."""

from collections.abc import Callable
from typing import NoReturn

import structlog
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
)
from django.shortcuts import redirect, resolve_url
from django.utils.deprecation import MiddlewareMixin
from django_htmx.http import HttpResponseClientRedirect, HttpResponseClientRefresh

from controlplane.accounts import recent, second_factor, sessions, table
from controlplane.audit import actions as audit
from controlplane.away import AWAY, database_away, is_noted_away

log = structlog.get_logger()

View = Callable[..., HttpResponse]


class SignedInRequest(HttpRequest):
    user: User  # the table lets nobody else in


def signed_out(answer: View) -> Callable[[View], View]:
    """Give a view an answer of its own to who is signed out: answer(request)."""

    def decorate(view: View) -> View:
        view.signed_out = answer  # type: ignore[attr-defined]
        return view

    return decorate


def sign_in(request: HttpRequest) -> HttpResponse:
    """A page goes to the form; a fragment reloads its page, which goes there."""
    if request.headers.get("HX-Request"):
        return HttpResponseClientRefresh()
    return redirect_to_login(request.get_full_path())


class AccessMiddleware(MiddlewareMixin):
    def process_view(
        self, request: HttpRequest, view: View, args: object, kwargs: object
    ) -> HttpResponseBase | None:
        match = request.resolver_match
        assert match is not None  # Django resolves before it asks
        try:
            if match.namespace in table.NAMESPACES:
                return _set_up_first(request)
            return _look_up(request, view, match.view_name)
        except AWAY:  # no process_exception is asked about what is raised here
            return database_away(request)


def may(user: User, permission: str) -> bool:
    """Whether somebody may do what needs this permission."""
    return user.has_perm(permission) and not second_factor.lacks(user)


def _look_up(request: HttpRequest, view: View, route: str) -> HttpResponseBase | None:
    row = table.ROUTES.get(route)
    if row is None:
        log.error("route_without_a_row", route=route, path=request.path)
        raise PermissionDenied(route)
    needs = table.needs_of(row, request.method or "")
    if needs is None:
        return HttpResponseNotAllowed(table.methods(row))
    return _ask(request, view, needs)


def _ask(request: HttpRequest, view: View, needs: str) -> HttpResponse | None:
    if needs == table.PUBLIC or needs.startswith(table.SCOPE):
        return None
    if is_noted_away(request):
        return database_away(request)
    if not request.user.is_authenticated:
        answer: View = getattr(view, "signed_out", sign_in)
        return answer(request)
    sessions.note_seen(request)
    if needs != table.SIGNED_IN and (asked := _set_up_first(request)):
        return asked
    if needs != table.SIGNED_IN and not request.user.has_perm(needs):
        refuse(request, request.user, needs)
    return _ask_again(request)


def _set_up_first(request: HttpRequest) -> HttpResponse | None:
    """Whose role needs a second factor opens nothing but what is about himself until he has one."""
    if not second_factor.lacks(request.user):
        return None
    if request.headers.get("HX-Request"):
        return HttpResponseClientRedirect(resolve_url("account_me"))
    return redirect("account_me")


def _ask_again(request: HttpRequest) -> HttpResponse | None:
    assert request.resolver_match is not None
    route, method = request.resolver_match.view_name, request.method or ""
    if table.needs_recent(route, method) and not recent.is_recent(request):
        return recent.ask(request)
    return None


def refuse(request: HttpRequest, user: User, needs: str) -> NoReturn:
    """Answer 403 to somebody who lacks a permission, and write that down."""
    write_down_refusal(request, user, needs)
    raise PermissionDenied(needs)


@transaction.atomic
def write_down_refusal(request: HttpRequest, user: User, needs: str) -> None:
    assert request.resolver_match is not None  # Django resolves before it asks
    detail = {"method": request.method or "", "path": request.path, "needs": needs}
    route = f"route:{request.resolver_match.view_name}"
    audit.record(user, "access_refused", route, detail=detail)
