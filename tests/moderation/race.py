"""A process that posts the page's form whenever it is told to, as another moderator's browser would."""

import os
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier


def post_on_order(
    environment: dict[str, str], user_id: int, orders: Connection, start: Barrier
) -> None:
    """Take (path, form) until told None; answer the status and the page that came back."""
    os.environ.update(environment)
    import django  # noqa: PLC0415 - settings come from the environment above

    django.setup()
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415
    from django.test.utils import setup_test_environment  # noqa: PLC0415

    setup_test_environment()
    client = Client()
    client.force_login(User.objects.get(pk=user_id))
    orders.send("ready")
    while order := orders.recv():
        path, form = order
        start.wait(timeout=30)
        response = client.post(path, form)
        orders.send((response.status_code, response.content.decode()))
