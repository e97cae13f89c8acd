"""Routes of the traces pages."""

from django.urls import path

from controlplane.traces import views

app_name = "traces"
urlpatterns = [
    path("<str:trace_id>/", views.trace, name="trace"),
]
