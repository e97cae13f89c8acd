"""A process that decides whenever it is told to, as another moderator's request would."""

import os
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier


def decide_on_order(
    environment: dict[str, str], user_id: int, orders: Connection, start: Barrier
) -> None:
    """Take (approval, fingerprint) until told None; answer who won, and whether it was this one."""
    os.environ.update(environment)
    import django  # noqa: PLC0415 - settings come from the environment above

    django.setup()
    from django.contrib.auth.models import User  # noqa: PLC0415

    from moderation import actions  # noqa: PLC0415
    from moderation.models import Decision  # noqa: PLC0415

    moderator = User.objects.get(pk=user_id)
    orders.send("ready")
    while order := orders.recv():
        approval, fingerprint = order
        start.wait(timeout=30)
        try:
            decision = actions.decide(
                approval,
                verdict=Decision.Verdict.APPROVE,
                text="",
                reason="",
                fingerprint=fingerprint,
                moderator=moderator,
            )
            orders.send(("won", decision.decided_by.get_username()))
        except actions.AlreadyDecidedError as error:
            assert error.decision  # noqa: PT017 - this is no test, it reports to one
            orders.send(("lost", error.decision.decided_by.get_username()))
