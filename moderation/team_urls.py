"""Routes of the pages of teams."""

from django.urls import path

from moderation import team_views

app_name = "teams"
urlpatterns = [
    path("", team_views.index, name="list"),
    path("<slug:slug>/", team_views.team, name="team"),
    path("<slug:slug>/join/", team_views.join, name="join"),
    path("<slug:slug>/leave/<int:person_id>/", team_views.leave, name="leave"),
    path("<slug:slug>/delete/", team_views.delete, name="delete"),
]
