"""Routes of the home pages."""

from django.urls import path

from controlplane.home import views

app_name = "home"
urlpatterns = [
    path("", views.index, name="index"),
]
