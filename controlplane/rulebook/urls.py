"""Routes of the rules."""

from django.urls import path

from controlplane.rulebook import views

app_name = "rules"
urlpatterns = [
    path("", views.rules, name="list"),
    path("published/", views.published, name="published"),
]
