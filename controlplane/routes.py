"""Routes of the websockets."""

from django.urls import path

from controlplane.chat.consumers import WidgetConsumer

websocket_urlpatterns = [
    path("ws/chat/", WidgetConsumer.as_asgi()),  # type: ignore[arg-type]
]
