"""Routes of the whole project."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, URLResolver, include, path

from controlplane.accounts.views import SignInView

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("controlplane.home.urls")),
    path("queue/", include("moderation.urls")),
    path("traces/", include("controlplane.traces.urls")),
    path("dlq/", include("controlplane.deadletters.urls")),
    path("demo/", include("controlplane.chat.urls")),
    path("accounts/", include("controlplane.accounts.urls")),
    path("accounts/login/", SignInView.as_view(), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("api/", include("controlplane.api.urls")),
    path("admin/", admin.site.urls),
]
