"""The pages and the queue's socket, for a server of their own."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
http = get_asgi_application()

from moderation.consumers import QueueConsumer  # noqa: E402  # needs Django set up

application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": AuthMiddlewareStack(
            URLRouter([path("ws/queue/", QueueConsumer.as_asgi())])  # type: ignore[arg-type, list-item]
        ),
    }
)
