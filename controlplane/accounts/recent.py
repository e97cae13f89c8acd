"""Asks again who somebody is before what is dangerous, and lets them go on where they were.

What asks is a row of the table's RECENT. A page comes back by itself; a form is kept and shown
for one more press, so that it passes every check as if it had been sent the first time.
"""

import time
from typing import Any
from urllib.parse import urlencode, urlsplit

from allauth.account.authentication import get_authentication_records
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.http import HttpResponseClientRedirect

from controlplane.accounts.sso import PROVEN_AT

_KEPT = "form_to_go_on_with"
_KEPT_MAX = 20_000  # characters
_NOT_KEPT = ("csrfmiddlewaretoken", "password")


def is_recent(request: HttpRequest) -> bool:
    """Whether they have shown who they are within the last minutes, when signing in or since."""
    oldest = time.time() - settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
    records = get_authentication_records(request, request.user)  # type: ignore[arg-type]
    return any(_proven_at(request, record) > oldest for record in records)


def ask(request: HttpRequest) -> HttpResponse:
    """Go to the page that asks who they are; afterwards they are where they were."""
    is_fragment = bool(request.headers.get("HX-Request"))
    if request.method == "POST" and _keep(request):
        then = reverse("account_go_on")
    elif request.method == "POST" or is_fragment:
        then = _page_of(request)
    else:
        then = request.get_full_path()
    url = f"{reverse('account_reauthenticate')}?{urlencode({'next': then})}"
    return HttpResponseClientRedirect(url) if is_fragment else HttpResponseRedirect(url)


def take_kept(request: HttpRequest) -> dict[str, Any] | None:
    """Return the form that was sent when they were asked: its path, fields and page. Once."""
    kept: dict[str, Any] | None = request.session.pop(_KEPT, None)
    return kept


def _proven_at(request: HttpRequest, record: dict[str, Any]) -> float:
    """Single sign-on lets people in whom it saw a proof of hours ago; it says when."""
    is_sso = record["method"] == "socialaccount"
    return float(request.session.get(PROVEN_AT, 0) if is_sso else record["at"])


def _keep(request: HttpRequest) -> bool:
    """Keep what was filled in, but no secrets and nothing huge."""
    fields = [
        (name, value)
        for name, values in request.POST.lists()
        for value in values
        if not any(word in name for word in _NOT_KEPT)
    ]
    is_small = sum(len(name) + len(value) for name, value in fields) <= _KEPT_MAX
    if is_small:
        path, page = request.get_full_path(), _page_of(request)
        request.session[_KEPT] = {"path": path, "fields": fields, "page": page}
    return is_small


def _page_of(request: HttpRequest) -> str:
    """Return the page of ours on which they were, or the first one."""
    url = request.headers.get("HX-Current-URL") or request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(url, {request.get_host()}):
        return "/"
    return urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl()
