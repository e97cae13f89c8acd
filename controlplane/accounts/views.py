"""Signing in. Signing out is Django's own view, by POST."""

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpResponse


class SignInView(LoginView):
    """Django's view, which keeps `next` on this host; a refused form is a 422."""

    redirect_authenticated_user = True

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_invalid(form)
        response.status_code = 422
        return response
