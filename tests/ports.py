"""Ports for what tests start, one range for each process of tests."""

import os

from controlplane.embedded.ports import free_port

RANGES_FROM = 20_000
RANGE = 1_000


def own_port(usual: int) -> int:
    """Return a free one; two processes that look at the same moment never see the same."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return free_port(RANGES_FROM + RANGE * int(worker) + usual)
