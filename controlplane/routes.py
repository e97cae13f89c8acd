"""Routes of the websockets."""

from django.urls import path

from controlplane.chat.consumers import WidgetConsumer
from moderation.consumers import QueueConsumer

websocket_urlpatterns = [
    path("ws/chat/", WidgetConsumer.as_asgi()),  # type: ignore[arg-type]
    path("ws/queue/", QueueConsumer.as_asgi()),  # type: ignore[arg-type]
]
