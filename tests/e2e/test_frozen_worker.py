"""A worker that was frozen starts nothing by what it knew before."""

from collections.abc import Callable, Iterator
from signal import SIGCONT, SIGSTOP
from uuid import uuid4

import pytest

from tests.e2e.product import Process, Product
from tests.e2e.test_crashes import PUBLISH_RULE, all_but
from tests.e2e.widget import Widget
from tests.waiting import wait_for

OpenWidget = Callable[..., Widget]

USERS = 12
SOFT_STOP = """
from django.contrib.auth.models import User
from controlplane.stops import actions
ada = User.objects.get(username="ada")
actions.request_stop(mode="soft", scope="agent", value="responder", reason="drill", requester=ada)
"""
RELEASE = """
from django.contrib.auth.models import User
from controlplane.stops import actions
from controlplane.stops.models import Stop
ada = User.objects.get(username="ada")
for stop in Stop.objects.filter(released_at=None):
    actions.release_stop(stop, reason="drill", releaser=ada)
"""
DATABASE_CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float"

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.long,  # the soak's short form freezes workers too
    pytest.mark.usefixtures("responder", "guard"),
]
lengths = pytest.mark.parametrize("seconds", [5.0, 30.0])


@pytest.fixture(scope="module")
def product(workerless: Product) -> Product:
    workerless.start_worker(all_but("responder", "output-guard"))
    return workerless


@pytest.fixture(scope="module")
def responder(product: Product) -> Process:
    return product.start_worker("responder")


@pytest.fixture(scope="module")
def guard(product: Product) -> Process:
    return product.start_worker("output-guard")


@pytest.fixture(autouse=True)
def released(product: Product) -> Iterator[None]:
    yield
    product.python(RELEASE)


def now(product: Product) -> float:
    [(seconds,)] = product.sql(DATABASE_CLOCK)
    return float(seconds)


def freeze_until(
    product: Product, worker: Process, change: Callable[[], object], seconds: float
) -> None:
    """Change control state while the worker is frozen, and thaw it after so long."""
    worker.signal(SIGSTOP)
    until_s = now(product) + seconds
    change()
    wait_for(lambda: now(product) > until_s, timeout_s=seconds + 30)
    worker.signal(SIGCONT)


def applies(product: Product, worker: Process, why: str) -> bool:
    rows = product.sql(
        "SELECT agents FROM runtime_heartbeat WHERE pid = %s", worker.pid
    )
    return any(agent["why"].startswith(why) for agent in rows[0][0])


@lengths
def test_a_soft_stop_from_its_sleep_is_obeyed_before_anything_is_started(
    product: Product, responder: Process, widget: OpenWidget, seconds: float
) -> None:
    """Each user's first question is with the model when the worker freezes, two more wait in it."""
    marker = uuid4().hex
    product.script(match=marker, reply="Yes.", delay_ms=8_000, times=USERS)
    product.script(match=marker, reply="Yes, it does.")
    asked = [
        (user, user.ask(f"Does it charge fast? {number} {marker}")[0])
        for user in (widget() for _ in range(USERS))
        for number in range(3)
    ]
    wait_for(lambda: len(product.asked(marker)) == USERS, timeout_s=30)

    def stop() -> None:
        product.python(SOFT_STOP)
        assert len(product.asked(marker)) == USERS

    freeze_until(product, responder, stop, seconds)
    for user, client_id in asked[::3]:
        user.answer(client_id, timeout_s=60)
    wait_for(lambda: applies(product, responder, "soft stop"), timeout_s=30)
    assert len(product.asked(marker)) == USERS

    product.python(RELEASE)
    for user, client_id in asked:
        user.answer(client_id, timeout_s=60)
    assert len(product.asked(marker)) == len(asked)


@lengths
def test_what_it_checks_after_its_sleep_it_checks_by_the_rules_of_today(
    product: Product, guard: Process, widget: OpenWidget, seconds: float
) -> None:
    marker = f"m{uuid4().hex}"
    product.script(match=marker, reply=f"The seats are heated. {marker}", delay_ms=500)
    users = [widget() for _ in range(USERS)]
    published: list[str] = []

    def ask_and_publish() -> None:
        for number, user in enumerate(users):
            user.ask(f"Are the seats heated? {number} {marker}")
        answers = "SELECT count(*) FROM traces_record WHERE topic = %s AND text LIKE %s"
        topic, text = "agent.responses.raw", f"%{marker}%"
        wait_for(lambda: product.sql(answers, topic, text) == [(USERS,)], timeout_s=30)
        code = PUBLISH_RULE.format(marker=marker)
        published.append(product.python(code).strip().splitlines()[-1])

    freeze_until(product, guard, ask_and_publish, seconds)

    verdicts = "SELECT verdict->>'ruleset_hash' FROM moderation_approval WHERE team = 'legal' AND text LIKE %s"
    held = wait_for(
        lambda: (
            rows if len(rows := product.sql(verdicts, f"%{marker}%")) == USERS else []
        ),
        timeout_s=40,
        what="every answer is held by the new rule",
    )
    assert {row[0] for row in held} == set(published)
    assert not any(
        marker in frame for user in users for frame in user.raw if "assistant" in frame
    )
