"""Routes of the pages of effects outside."""

from django.urls import path

from controlplane.effects import views

app_name = "effects"
urlpatterns = [
    path("", views.effects, name="list"),
    path("preview/", views.preview, name="preview"),
    path("decide/", views.decide, name="decide"),
    path("<int:effect_id>/", views.effect, name="effect"),
]
