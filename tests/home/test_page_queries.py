"""However much there is to show, a page asks PostgreSQL as often as for little."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.bench.page_rows import Day, Made, fill
from tests.bench.pages import HTMX, pushed
from tests.factories import make_admin

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("services_down")]

LITTLE = Day(approvals=1, finished=1, workers=1, hops=1, letters=1, log_lines=1)
MUCH = Day(approvals=12, finished=4, workers=15, hops=8, letters=12, log_lines=20)

Ask = Callable[[Client, Made], object]
PAGES: dict[str, Ask] = {
    "the control room": lambda client, _: client.get("/"),
    "its live part": lambda client, _: client.get("/room/", headers=HTMX),
    "all workers": lambda client, _: client.get("/?workers=all"),
    "the queue": lambda client, _: client.get("/queue/"),
    "a held answer": lambda client, made: client.get(
        reverse("moderation:item", args=[made.approval])
    ),
    "what the queue's socket sends": lambda _, made: pushed(made),
    "a trace": lambda client, made: client.get(
        reverse("traces:trace", args=[made.trace_id])
    ),
    "the dead letters": lambda client, _: client.get("/dlq/"),
}


def test_the_number_of_queries_is_the_same_for_little_and_for_much(
    client: Client,
) -> None:
    ada = make_admin()
    client.force_login(ada)

    little = _asked(client, fill(LITTLE, ada))
    much = _asked(client, fill(MUCH, ada))

    assert little == much
    assert all(0 < number <= 25 for number in much.values()), much


def _asked(client: Client, made: Made) -> dict[str, int]:
    for ask in PAGES.values():
        ask(client, made)  # reads what is read once
    numbers = {}
    for name, ask in PAGES.items():
        with CaptureQueriesContext(connection) as asked:
            ask(client, made)
        numbers[name] = len(asked)
    return numbers
