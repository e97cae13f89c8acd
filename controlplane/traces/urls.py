"""Routes of the traces pages."""

from django.urls import path

from controlplane.traces import views

app_name = "traces"
urlpatterns = [
    path("<str:trace_id>/", views.trace, name="trace"),
    path("<str:trace_id>/hops/", views.hops, name="hops"),
    path(
        "<str:trace_id>/<str:topic>/<int:partition>/<int:offset>/",
        views.payload,
        name="payload",
    ),
]
