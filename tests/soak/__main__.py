"""make soak: chat load while workers are killed; every accepted turn must end in one outcome.

SECONDS (60) and SEED (of the time) come from the environment; the seed is printed.
"""

import os
import random
import sys
import time
from collections import Counter
from pathlib import Path
from signal import SIGKILL
from uuid import UUID

import django

from controlplane.embedded import services
from tests.e2e.product import Process, Product, running
from tests.e2e.widget import Widget
from tests.waiting import wait_for

USERS = 10
FAULT_EVERY_S = 10.0
QUESTIONS = (
    "What's the latest model of Mercedes?",
    "Write a romantic poem.",
    "When are you open on Saturday?",
    "How much does the E-Class cost?",
)


def main() -> None:
    seed = int(os.environ.get("SEED", str(time.time_ns() % 1_000_000)))
    seconds = float(os.environ.get("SECONDS", "60"))
    say(f"seed {seed}, {seconds:.0f} s")
    data_dir = Path(".run/soak").resolve()
    services.remove(data_dir)
    backing = services.start(data_dir, report=say)
    try:
        with running(Product(backing.environment, data_dir / "product")) as product:
            differences = soak(product, random.Random(seed), seconds)  # noqa: S311
    finally:
        backing.stop()
    for difference in differences:
        say(difference)
    sys.exit(1 if differences else 0)


def soak(product: Product, chance: random.Random, seconds: float) -> list[str]:
    """Run the load and the faults; return what is not as it must be."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "controlplane.settings"
    django.setup()
    product.env["INTERLOCK_MESSAGES_PER_MINUTE"] = "10000"
    product.prepare()
    product.start_web()
    worker = product.start_worker()
    users = [open_widget(product, number) for number in range(USERS)]
    asked: list[tuple[Widget, str]] = []
    started_s = fault_s = time.monotonic()
    while time.monotonic() - started_s < seconds:
        user = chance.choice(users)
        client_id = str(UUID(int=chance.getrandbits(128), version=4))
        user.say(chance.choice(QUESTIONS), client_id=client_id)
        asked.append((user, client_id))
        if time.monotonic() - fault_s > FAULT_EVERY_S:
            worker, fault_s = kill(product, worker), time.monotonic()
        time.sleep(chance.uniform(0.02, 0.1))
    return check(product, asked)


def open_widget(product: Product, number: int) -> Widget:
    from controlplane.chat import tokens  # noqa: PLC0415  # needs Django set up

    return Widget(product.socket_url, tokens.issue(f"soak-{number}", tier="free"))


def kill(product: Product, worker: Process) -> Process:
    worker.signal(SIGKILL)
    worker.wait()
    return product.start_worker()


def check(product: Product, asked: list[tuple[Widget, str]]) -> list[str]:
    """Compare what clients were told with the outcomes and the transcripts."""
    accepted = [
        client_id
        for user, client_id in asked
        if user.until(lambda frame, own=client_id: frame.get("id") == own)["type"]  # type: ignore[misc]
        == "accepted"
    ]
    settled = (
        "SELECT t.client_id FROM chat_turn t JOIN chat_outcome o ON o.turn_id = t.id "
    )
    settled += "WHERE t.client_id = ANY(%s) AND o.state <> 'open'"
    wait_for(
        lambda: len(product.sql(settled, accepted)) >= len(accepted),
        timeout_s=90,
        what="an outcome for each accepted turn",
    )
    outcomes = Counter(row[0] for row in product.sql(settled, accepted))
    say(
        f"{len(asked)} asked, {len(accepted)} accepted, {sum(outcomes.values())} outcomes"
    )
    answers = Counter(
        row[0]
        for row in product.sql(
            "SELECT t.client_id FROM chat_message m JOIN chat_turn t ON t.id = m.turn_id "
            "WHERE m.role = 'assistant' AND t.client_id = ANY(%s)",
            accepted,
        )
    )
    return [
        f"{one}: {outcomes[one]} outcomes" for one in accepted if outcomes[one] != 1
    ] + [f"{one}: {count} answers" for one, count in answers.items() if count != 1]


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
