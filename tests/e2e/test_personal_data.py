"""What customers say of themselves: each gets his own back, and nobody else has seen it."""

from collections.abc import Callable, Iterable, Iterator
from uuid import uuid4

import pytest

from tests.e2e.personal import KINDS, squeezed
from tests.e2e.product import Product
from tests.e2e.widget import Widget
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(600)

OpenWidget = Callable[..., Widget]


class Customer:
    """Says something of each kind, one after the other."""

    def __init__(self, number: int, marker: str) -> None:
        self.values = [make(number) for make in KINDS.values()]
        self.said = [
            f"{sentence.format(value)} {marker}"
            for sentence, value in zip(KINDS, self.values, strict=True)
        ]
        self.heard: list[str] = []

    def talk(self, widget: Widget) -> None:
        for text in self.said:
            client_id, _ = widget.ask(text)
            self.heard.append(widget.answer(client_id, timeout_s=60)["text"])

    @property
    def may_hear(self) -> list[str]:
        """Of a model that repeats all that it knows of the conversation."""
        return ["\n".join(self.said[: count + 1]) for count, _ in enumerate(self.said)]


def told(places: Iterable[str], values: list[str]) -> list[str]:
    """Return the values that stand anywhere in there."""
    everything = "\n".join(map(squeezed, places))
    return [value for value in values if squeezed(value) in everything]


def texts(product: Product, column: str, marker: str) -> list[str]:
    """Return the index's texts of the marked turns, or what Kafka has of them."""
    rows = product.sql(
        f"SELECT {column} FROM traces_record r JOIN traces_payload p "  # noqa: S608
        'USING (topic, partition, "offset", at) WHERE r.trace_id IN '
        "(SELECT trace_id FROM chat_turn WHERE text LIKE %s)",
        f"%{marker}%",
    )
    return [str(row[0]) for row in rows]


def is_indexed(product: Product, marker: str, turns: int) -> bool:
    finals = product.sql(
        "SELECT count(*) FROM traces_record WHERE topic = 'agent.responses.final' "
        "AND text LIKE %s",
        f"%{marker}%",
    )
    return finals == [(turns,)]


def logs(product: Product) -> Iterator[str]:
    for path in product.logs.iterdir():
        if path.is_file():
            yield path.read_text(errors="replace")


@pytest.mark.parametrize(
    "customers", [12, pytest.param(200, marks=pytest.mark.long)], ids=["60", "1000"]
)
def test_everybody_gets_his_own_data_back_and_nobody_else_sees_it(
    product: Product, widget: OpenWidget, customers: int
) -> None:
    marker = f"m{uuid4().hex[:8]}x"
    product.script(match=marker, echo=True)
    talking = [
        Customer(number, marker) for number in range(customers * 7, customers * 8)
    ]
    values = [value for customer in talking for value in customer.values]

    for customer in talking:
        with widget() as open_widget:
            customer.talk(open_widget)

    assert [each.heard for each in talking] == [each.may_hear for each in talking]
    turns = customers * len(KINDS)
    wait_for(lambda: is_indexed(product, marker, turns), timeout_s=60)
    requests = [each for each in product.requests() if marker in str(each["body"])]
    assert {each["path"].rsplit("/", 1)[-1] for each in requests} == {
        "completions",
        "embeddings",
        "moderations",
    }
    assert told((str(each["body"]) for each in requests), values) == []
    assert told(texts(product, "r.text", marker), values) == []
    assert told(logs(product), values) == []
    status, metrics = product.get("/metrics")
    assert (status, told([metrics], values)) == (200, [])
    # Where they must stand, the same look finds every one.
    raw = texts(product, "convert_from(p.value, 'UTF8')", marker)
    assert told(raw, values) == values
