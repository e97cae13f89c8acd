"""A worker that loses one push in ten, as a Valkey that is busy elsewhere would.

python -m tests.bench.dropping_worker
"""

import signal
import threading
from itertools import count

import django

from tests.guardrails.factories import make_masker

ONE_IN = 10


def main() -> None:
    django.setup()
    from django.conf import settings  # noqa: PLC0415

    from agents import registry  # noqa: PLC0415
    from agents.host import conninfo  # noqa: PLC0415
    from agents.runtime import Runtime  # noqa: PLC0415
    from controlplane.chat import live  # noqa: PLC0415

    send, number = live._send, count(1)

    async def lose_some(group: str, kind: str) -> None:
        if next(number) % ONE_IN:
            await send(group, kind)

    setattr(live, "_send", lose_some)  # noqa: B010  # mypy minds the plain form
    runtime = Runtime(
        registry.builds(registry.AGENTS),
        conninfo=conninfo(),
        client=settings.KAFKA,
        scorers=settings.SCORERS,
        masker=make_masker(),
    )
    asked_to_end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked_to_end.set())
    runtime.start()
    asked_to_end.wait()
    runtime.stop()


if __name__ == "__main__":
    main()
