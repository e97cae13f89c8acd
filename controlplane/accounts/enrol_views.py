"""The page by which people choose a password, once, with the link that an administrator gave them."""

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from controlplane.accounts import enrolments
from controlplane.accounts.people_forms import CodeForm

PASSWORD = "new_password1"  # noqa: S105 - the name of a field


@sensitive_post_parameters()
@never_cache
def enrol(request: HttpRequest) -> HttpResponse:
    """Take the code by POST, so that no log has it; first alone, then with the password."""
    form = CodeForm(request.POST or None)
    if not form.is_valid():
        status = 422 if request.method == "POST" else 200
        return render(request, "accounts/code.html", {"form": form}, status=status)
    code: str = form.cleaned_data["code"]
    try:
        user = enrolments.person_of(code)
        if PASSWORD not in request.POST:
            return _ask(request, code, SetPasswordForm(user), 200)
        return _choose(request, code, SetPasswordForm(user, request.POST))
    except enrolments.LinkError as error:
        return render(request, "accounts/no_link.html", {"why": error}, status=410)


def _choose(
    request: HttpRequest, code: str, form: "SetPasswordForm[User]"
) -> HttpResponse:
    if not form.is_valid():
        return _ask(request, code, form, 422)
    enrolments.choose_password(code, form.cleaned_data[PASSWORD])
    logout(request)  # whoever was signed in here, the next to sign in is the new one
    return redirect(settings.LOGIN_URL)


def _ask(
    request: HttpRequest, code: str, form: "SetPasswordForm[User]", status: int
) -> HttpResponse:
    context = {"form": form, "code": code, "person": form.user}
    return render(request, "accounts/enrol.html", context, status=status)
