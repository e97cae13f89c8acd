"""Routes of the emergency stops."""

from django.urls import path

from controlplane.stops import rule_views, views

app_name = "stops"
urlpatterns = [
    path("", views.index, name="index"),
    path("affected/", views.affected, name="affected"),
    path("rules/<slug:name>/", rule_views.rule, name="rule"),
    path("<uuid:stop_id>/", views.stop, name="stop"),
    path("<uuid:stop_id>/prove/", views.prove, name="prove"),
    path("<uuid:stop_id>/release/", views.release, name="release"),
    path("<uuid:stop_id>/extend/", views.extend, name="extend"),
    path("<uuid:stop_id>/lift/", views.lift, name="lift"),
]
