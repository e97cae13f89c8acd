"""Routes of the whole project."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from controlplane.accounts import sign_in

# There is one door, and one place for one's password.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.password_change = sign_in.change_elsewhere  # type: ignore[assignment, method-assign]
admin.site.logout = sign_in.sign_out_elsewhere  # type: ignore[assignment, method-assign]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("controlplane.home.urls")),
    path("queue/", include("moderation.urls")),
    path("traces/", include("controlplane.traces.urls")),
    path("dlq/", include("controlplane.deadletters.urls")),
    path("effects/", include("controlplane.effects.urls")),
    path("stops/", include("controlplane.stops.urls")),
    path("stops/<uuid:stop_id>/report/", include("controlplane.incidents.urls")),
    path("rules/", include("controlplane.rulebook.urls")),
    path("demo/", include("controlplane.chat.urls")),
    path("accounts/", include("controlplane.accounts.urls")),
    path("accounts/teams/", include("moderation.team_urls")),
    path("accounts/", include("controlplane.accounts.sign_in_urls")),
    path("api/", include("controlplane.api.urls")),
    path("admin/", admin.site.urls),
]
