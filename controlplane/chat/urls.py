"""Routes of the chat pages."""

from django.urls import path

from controlplane.chat import views

app_name = "chat"
urlpatterns = [
    path("", views.demo, name="demo"),
]
