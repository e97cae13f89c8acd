"""A crew in a process of its own, as the gate has in production.

python -m tests.stops.flips.crew_process NAME SIZE EVERY_S HOLD_S    0 and 0: as fast as it can
"""

import signal
import sys
import threading

import django


def main(name: str, size: int, every_s: float, hold_s: float) -> None:
    django.setup()
    from tests.stops.flips import gates  # noqa: PLC0415  # they need Django set up
    from tests.stops.flips.crew import at_work  # noqa: PLC0415

    asked_to_end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked_to_end.set())
    gate = gates.gate(gates.slow(hold_s) if hold_s else None, size=size)
    with at_work(gate, size=size, name=name, every_s=every_s):
        asked_to_end.wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:]))
