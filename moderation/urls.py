"""Routes of the moderation pages."""

from django.urls import path

from moderation import views

app_name = "moderation"
urlpatterns = [
    path("", views.queue, name="queue"),
    path("<uuid:approval_id>/", views.item, name="item"),
]
