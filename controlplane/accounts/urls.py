"""Routes of people, joining and tokens."""

from django.urls import path

from controlplane.accounts import enrol_views, people_views, token_views

app_name = "accounts"
urlpatterns = [
    path("", people_views.index, name="people"),
    path("people/add/", people_views.add, name="add"),
    path("people/<int:person_id>/", people_views.person, name="person"),
    path("people/<int:person_id>/role/", people_views.role, name="role"),
    path("people/<int:person_id>/teams/", people_views.teams, name="teams-of"),
    path("people/<int:person_id>/disable/", people_views.disable, name="disable"),
    path("people/<int:person_id>/enable/", people_views.enable, name="enable"),
    path("people/<int:person_id>/sign-out/", people_views.sign_out, name="sign-out"),
    path("people/<int:person_id>/factors/", people_views.factors, name="factors"),
    path("people/<int:person_id>/link/", people_views.link, name="link"),
    path("enrol/", enrol_views.enrol, name="enrol"),
    path("tokens/", token_views.index, name="tokens"),
    path("tokens/<int:token_id>/revoke/", token_views.revoke, name="revoke"),
]
