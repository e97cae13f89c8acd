"""Runs the demo model: python -m controlplane.embedded.model_server --port 8090."""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from controlplane.embedded.model_server.peer import listen
from controlplane.embedded.model_server.server import ModelServer, Settings


def main() -> None:
    options = _parser().parse_args()
    settings = Settings(options.delay_ms, options.chunk_delay_ms, options.data_dir)
    asyncio.run(run(options.host, options.port, settings))
    sys.stdout.flush()
    os._exit(0)  # Python would wait for the thread that loads models


async def run(host: str, port: int, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; whatever is under way then is cut off."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    model = ModelServer(settings)
    server = await listen(host, port, model.serve)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"The demo model listens on http://{host}:{port}/v1\n")
    sys.stdout.flush()
    loading = asyncio.create_task(model.scorers.load())
    await stopped.wait()
    loading.cancel()
    server.close()
    await _cancel_the_rest()
    model.scorers.close()
    model.journal.close()


async def _cancel_the_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="controlplane.embedded.model_server", description=__doc__
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--data-dir", type=Path, help="where requests.jsonl goes")
    parser.add_argument(
        "--delay-ms", type=float, default=0.0, help="wait before each reply"
    )
    parser.add_argument(
        "--chunk-delay-ms", type=float, default=0.0, help="wait before each word"
    )
    return parser


if __name__ == "__main__":
    main()
