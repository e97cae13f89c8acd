"""Who may open a page: signed in, and with the permission that the page needs."""

from collections.abc import Callable
from functools import wraps

from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django_htmx.http import HttpResponseClientRefresh

View = Callable[..., HttpResponse]


class SignedInRequest(HttpRequest):
    user: User  # requires() lets nobody else in


def requires(permission: str) -> Callable[[View], View]:
    """Send visitors to sign in, and refuse people without the permission."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(
            request: HttpRequest, *args: object, **kwargs: object
        ) -> HttpResponse:
            if not request.user.is_authenticated:
                return _sign_in(request)
            if not request.user.has_perm(permission):
                raise PermissionDenied(permission)
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def _sign_in(request: HttpRequest) -> HttpResponse:
    """A page goes to the form; a fragment reloads its page, which goes there."""
    if request.headers.get("HX-Request"):
        return HttpResponseClientRefresh()
    return redirect_to_login(request.get_full_path())
