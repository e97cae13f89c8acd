"""make bench: figures against the bare libraries, as ratios in one run."""

import platform
import sys
from pathlib import Path

from controlplane.embedded import services
from tests.bench import hop


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def main() -> None:
    data_dir = Path(".run/bench").resolve()
    services.remove(data_dir)
    running = services.start(data_dir, report=say)
    try:
        client = {"bootstrap.servers": running.environment["KAFKA_BOOTSTRAP_SERVERS"]}
        hop.measure(client)  # warms the broker
        figures = hop.measure(client)
    finally:
        running.stop()
    sys.stdout.write(
        f"machine: {platform.platform()}, Python {platform.python_version()}\n"
    )
    for name, value in figures.items():
        sys.stdout.write(f"guard hop, {hop.RECORDS} records, {name}: {value:,.2f}\n")


if __name__ == "__main__":
    main()
