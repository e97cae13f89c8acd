"""Routes of the dead letters pages."""

from django.urls import path

from controlplane.deadletters import views

app_name = "deadletters"
urlpatterns = [
    path("", views.letters, name="list"),
    path("<int:letter_id>/", views.letter, name="letter"),
    path("jobs/<uuid:job_id>/", views.job, name="job"),
    path("jobs/<uuid:job_id>/cancel/", views.cancel, name="cancel"),
]
