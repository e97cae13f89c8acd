"""Routes of the home pages."""

from django.urls import path

from controlplane.home import shell, styleguide, views

app_name = "home"
urlpatterns = [
    path("", views.index, name="index"),
    path("room/", views.room, name="room"),
    path("shell/", shell.shell, name="shell"),
    path("jump/", shell.jump, name="jump"),
    path("styleguide/", styleguide.styleguide, name="styleguide"),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", views.metrics_page, name="metrics"),
]
