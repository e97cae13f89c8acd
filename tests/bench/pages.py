"""What a page costs the server when much waits: time, and how often it asks PostgreSQL."""

import time
from collections.abc import Callable, Iterator
from statistics import quantiles

import msgspec
import psycopg
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext, override_settings
from django.urls import reverse

from controlplane.runtime.models import ControlVersion
from moderation import pages, watch
from moderation.models import Approval
from tests.bench.page_rows import Day, Made, fill

REQUESTS = 200
HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds on the clock and on the processor; queries of one request."""

    p50_ms: float
    p95_ms: float
    cpu_ms: float
    queries: int
    size_kb: float


def measure(owner: str) -> Iterator[tuple[str, Cost]]:
    """Yield what each page costs; the first is a bare view with one query."""
    with override_settings(DEBUG=False, ALLOWED_HOSTS=["*"]):
        made = fill(Day(), User.objects.get(username="mira"))
        with psycopg.connect(owner, autocommit=True) as connected:
            connected.execute("ANALYZE")
            for name, ask in _asked(made).items():
                yield name, _cost(ask)
            _empty(connected)


def _asked(made: Made) -> dict[str, Callable[[], bytes]]:
    ada, visitor = _signed_in("ada"), Client()
    item = reverse("moderation:item", args=[made.approval])
    trace = reverse("traces:trace", args=[made.trace_id])
    return {
        "a bare view with one query": _bare,
        "/": lambda: _get(ada, "/"),
        "/room/, each two seconds": lambda: _get(ada, "/room/", HTMX),
        "/queue/": lambda: _get(ada, "/queue/"),
        "/queue/, its list alone": lambda: _get(ada, "/queue/", HTMX),
        "/queue/<id>/": lambda: _get(ada, item),
        "/queue/<id>/, alone": lambda: _get(ada, item, HTMX),
        "what the queue's socket sends": lambda: pushed(made),
        "/traces/<id>/": lambda: _get(ada, trace),
        "/dlq/": lambda: _get(ada, "/dlq/"),
        "/stops/": lambda: _get(ada, "/stops/"),
        "/accounts/": lambda: _get(ada, "/accounts/"),
        "/accounts/login/": lambda: _get(visitor, reverse("account_login")),
    }


def _signed_in(name: str) -> Client:
    client = Client()
    client.force_login(User.objects.get(username=name))
    return client


def _get(client: Client, path: str, headers: dict[str, str] | None = None) -> bytes:
    response = client.get(path, headers=headers)
    assert response.status_code == 200, (path, response.status_code)
    return response.content


def _bare() -> bytes:
    """What Django and PostgreSQL take for next to nothing."""

    def view(_: HttpRequest) -> HttpResponse:
        return HttpResponse(str(ControlVersion.objects.get(pk=1)))

    return view(RequestFactory().get("/")).content


def pushed(made: Made) -> bytes:
    approval = Approval.objects.with_conversation().get(pk=made.approval)
    watch.read_marks([approval.pk])
    reader = User.objects.get(username="ada")
    context = pages.queue_context(reader, "", approval.pk)
    context |= pages.live_item_context(approval)
    return render_to_string("moderation/_live.html", context).encode()


def _cost(ask: Callable[[], bytes]) -> Cost:
    ask()  # loads what is loaded once
    with CaptureQueriesContext(connection) as asked:
        size_kb = len(ask()) / 1024
    queries = len(asked)  # the next request forgets them
    times_ms, cpu_s = [], time.process_time()
    for _ in range(REQUESTS):
        began_s = time.perf_counter()
        ask()
        times_ms.append((time.perf_counter() - began_s) * 1000)
    cuts = quantiles(times_ms, n=20)
    return Cost(
        p50_ms=cuts[9],
        p95_ms=cuts[18],
        cpu_ms=(time.process_time() - cpu_s) * 1000 / REQUESTS,
        queries=queries,
        size_kb=size_kb,
    )


def _empty(connected: "psycopg.Connection[tuple[object, ...]]") -> None:
    """Leave the other parts an empty product. The log stays: nobody can empty it."""
    connected.execute(
        "TRUNCATE chat_conversation, traces_record, deadletters_letter, runtime_heartbeat"
        " CASCADE"
    )
