"""More messages at once than can be answered: lag is seen, pages answer, memory is bounded, none is lost."""

import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.outside import Outside
from tests.e2e.person import Person
from tests.e2e.product import Product
from tests.soak.load import HELD, QUESTIONS
from tests.waiting import wait_for

PAGE_WITHIN_S = 2.0
ASKED = [text for text in QUESTIONS if text != HELD]
# What the control room says in one line of how far the slowest agent is behind.
BEHIND = re.compile(r">([\d,]+)</b> <span class=\"meta\">records? of largest lag")

OUTCOMES = """
SELECT coalesce(o.state, 'none'), count(*) FROM chat_turn t
LEFT JOIN chat_outcome o ON o.turn_id = t.id
WHERE t.conversation_id LIKE %s GROUP BY 1
"""


def pour(product: Product, marker: str, *, messages: int, conversations: int) -> None:
    """Publish what an outside producer would, as fast as Kafka takes it."""
    outside = Outside(product, marker)
    for number in range(messages):
        outside.say(
            ASKED[number % len(ASKED)],
            conversation=number % conversations,
            number=number,
            tier="free",
        )
    outside.flush()


class Watch:
    """Once a second: what processes weigh, how far agents are behind, what became of the turns."""

    def __init__(self, product: Product, marker: str) -> None:
        self.weights: dict[str, list[int]] = {}
        self.lags: list[float] = []
        self.outcomes: dict[str, int] = {}
        self._product = product
        self._marker = marker
        self._done = threading.Event()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, name="watch")
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()

    @property
    def settled(self) -> int:
        """Count the turns that have an outcome. A check that takes too long is for people."""
        return self.outcomes.get("delivered", 0) + self.outcomes.get("held", 0)

    def _run(self) -> None:
        while not self._done.wait(1.0):
            for process in self._product._processes:
                if process.is_running:
                    weight = pss_mib(process.pid)
                    self.weights.setdefault(process.name, []).append(weight)
            self.lags.append(lag(self._product))
            rows = self._product.sql(OUTCOMES, f"{self._marker} %")
            self.outcomes = dict(rows)


def pss_mib(pid: int) -> int:
    """Return the memory of a process, what it shares counted in part."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    [line] = [line for line in text.splitlines() if line.startswith("Pss:")]
    return int(line.split()[1]) // 1024


def lag(product: Product) -> float:
    """Return how many records wait for the slowest agent, as /metrics tells."""
    _, text = product.get("/metrics")
    return max(
        (
            float(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "kafka_consumer_lag"
        ),
        default=0.0,
    )


def behind(page: str) -> int:
    """Return the same, as the control room tells."""
    found = BEHIND.search(page)
    return int(found[1].replace(",", "")) if found else 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("messages", "conversations", "most_mib"),
    [
        pytest.param(2_000, 200, 500, marks=pytest.mark.long),
        pytest.param(20_000, 2_000, 500, marks=pytest.mark.long),
    ],
)
def test_a_flood_is_worked_off(
    product: Product, messages: int, conversations: int, most_mib: int
) -> None:
    marker = uuid4().hex
    ada = Person(product.base_url, name="ada", password=product.password)
    watch = Watch(product, marker)
    began_s = time.monotonic()

    with watch.going_on(), ada.watching("/") as looks:
        pour(product, marker, messages=messages, conversations=conversations)
        wait_for(
            lambda: watch.settled == messages,
            timeout_s=messages / 20,
            what="an outcome for each",
        )
        took_s = time.monotonic() - began_s

    slowest_s = max(look.took_s for look in looks)
    shown = max(behind(look.text) for look in looks)
    most_of = {name: max(weights) for name, weights in watch.weights.items()}
    sys.stdout.write(
        f"{messages} turns in {took_s:.0f} s, {messages / took_s:.0f} a second; lag up to "
        f"{max(watch.lags):.0f}, on the page {shown}; slowest page {slowest_s:.2f} s of "
        f"{len(looks)}; MiB at most {most_of}; {watch.outcomes}\n"
        f"MiB every 5 s: { {name: weights[::5] for name, weights in watch.weights.items()} }\n"
    )
    assert max(watch.lags) > messages / 10
    assert shown > messages / 10
    assert {look.status for look in looks} == {200}
    assert slowest_s < PAGE_WITHIN_S
    assert max(most_of.values()) < most_mib
