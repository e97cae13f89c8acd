"""Routes of a stop's report."""

from django.urls import path

from controlplane.incidents import correction_views, views

app_name = "incidents"
urlpatterns = [
    path("", views.report, name="report"),
    path("print/", views.printed, name="print"),
    path("report.json", views.export, name="export"),
    path("correct/", correction_views.correct, name="correct"),
    path("send/", correction_views.send, name="send"),
    path("<uuid:correction_id>/", correction_views.correction, name="correction"),
    path("<uuid:correction_id>/confirm/", correction_views.confirm, name="confirm"),
]
