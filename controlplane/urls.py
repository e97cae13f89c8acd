"""Routes of the whole project."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("controlplane.home.urls")),
    path("queue/", include("moderation.urls")),
    path("traces/", include("controlplane.traces.urls")),
    path("dlq/", include("controlplane.deadletters.urls")),
    path("demo/", include("controlplane.chat.urls")),
    path("accounts/", include("controlplane.accounts.urls")),
    path("accounts/teams/", include("moderation.team_urls")),
    path("accounts/", include("controlplane.accounts.sign_in_urls")),
    path("api/", include("controlplane.api.urls")),
    path("admin/", admin.site.urls),
]
