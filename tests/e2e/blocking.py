"""An application that blocks its process's event loop, as no code should and some will."""

import logging
import signal
from typing import Any


async def application(scope: Any, receive: Any, send: Any) -> None:
    logging.getLogger(__name__).warning("blocked")
    while True:
        signal.pause()
