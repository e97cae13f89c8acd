"""A process that dies at the worst moment changes nothing for the user."""

from collections import Counter
from collections.abc import Callable, Iterator
from signal import SIGKILL
from uuid import uuid4

import pytest

from agents.registry import AGENTS
from tests.e2e.product import Product
from tests.e2e.widget import Widget
from tests.waiting import wait_for

OpenWidget = Callable[..., Widget]

pytestmark = pytest.mark.long  # the soak's short form kills workers too

PUBLISH_RULE = """
from django.contrib.auth.models import User
from guardrails import actions, rules
marker = {marker!r}
rule = rules.Rule(id="hold-" + marker, name="Held meanwhile", direction="output", kind="terms",
    action="escalate", team="legal", terms=(marker,), must_hit=(marker,), must_pass=("Hello.",))
ada = User.objects.get(username="ada")
actions.save_rules(rules.RuleSet((rule,)), editor=ada)
print(actions.publish(reason="test", publisher=ada).rule_set_id)
"""


@pytest.fixture(scope="module")
def product(workerless: Product) -> Product:
    return workerless


@pytest.fixture
def workers(product: Product) -> Iterator[Product]:
    """The product, with those workers that the test starts."""
    yield product
    product.end_workers()


def all_but(*names: str) -> str:
    return ",".join(name for name in AGENTS if name not in names)


def outcomes(product: Product, client_ids: list[str]) -> Counter[str]:
    rows = product.sql(
        "SELECT o.state FROM chat_outcome o JOIN chat_turn t ON t.id = o.turn_id "
        "WHERE t.client_id = ANY(%s)",
        client_ids,
    )
    return Counter(row[0] for row in rows)


def die_with_output(product: Product, agent: str, marker: str) -> None:
    """Let a process of the agent take the record with the marker, publish, and die."""
    process = product.start("dying", "-m", "tests.e2e.dying_agent", agent, marker)
    assert process.wait(60) == -SIGKILL


def test_a_guard_killed_before_its_commit_and_a_new_rule_set_make_one_outcome(
    workers: Product, widget: OpenWidget
) -> None:
    product, user, marker = workers, widget(), f"m{uuid4().hex}"
    product.start_worker(all_but("output-guard"))
    product.script(match=marker, reply=f"The seats are heated. {marker}")

    client_id, trace_id = user.ask(f"Are the seats heated? {marker}")
    die_with_output(product, "output-guard", marker)
    assert marker in user.answer(client_id)["text"]
    product.python(PUBLISH_RULE.format(marker=marker))
    product.start_worker("output-guard")

    duplicate = wait_for(
        lambda: product.sql(
            "SELECT d.topic, d.outcome_state FROM chat_duplicate d "
            "JOIN chat_turn t ON t.id = d.turn_id WHERE t.client_id = %s",
            client_id,
        ),
        timeout_s=40,
    )
    assert duplicate == [("legal.queries.pending_approval", "delivered")]
    assert outcomes(product, [client_id]) == {"delivered": 1}
    assert [role for _, role, _ in user.transcript] == ["user", "assistant"]
    wait_for(lambda: "legal.queries.pending_approval" in product.topics_of(trace_id))
    assert product.sql(
        "SELECT count(*) FROM moderation_approval a JOIN chat_turn t ON t.id = a.turn_id "
        "WHERE t.client_id = %s",
        client_id,
    ) == [(0,)]


def test_a_model_that_answers_differently_on_a_retry_makes_one_message(
    workers: Product, widget: OpenWidget
) -> None:
    product, user, marker = workers, widget(), uuid4().hex
    product.start_worker(all_but("responder"))
    product.script(match=marker, replies=["The boot holds 540 litres.", "It is large."])

    client_id, trace_id = user.ask(f"How large is the boot? {marker}")
    die_with_output(product, "responder", marker)
    user.answer(client_id)
    product.start_worker("responder")

    wait_for(
        lambda: product.topics_of(trace_id).count("agent.responses.raw") == 2,
        timeout_s=40,
        what="the second record of the retry",
    )
    wait_for(lambda: product.topics_of(trace_id).count("agent.responses.final") == 2)
    assert outcomes(product, [client_id]) == {"delivered": 1}
    assert [text for _, role, text in user.transcript if role == "assistant"] == [
        "The boot holds 540 litres."
    ]
    assert len(product.asked(marker)) == 1


def test_every_accepted_turn_of_a_killed_worker_ends_in_one_outcome(
    workers: Product, widget: OpenWidget
) -> None:
    product, marker = workers, uuid4().hex
    worker = product.start_worker()
    product.script(match=marker, reply="Yes, it does.", delay_ms=2_000)
    users = [widget() for _ in range(10)]

    asked = [
        (user, user.ask(f"Does it charge fast? {number} {marker}")[0])
        for number in range(5)
        for user in users
    ]
    wait_for(lambda: len(product.asked(marker)) >= 10, what="a call for each user")
    client_ids = [client_id for _, client_id in asked]
    worker.signal(SIGKILL)
    assert outcomes(product, client_ids)["delivered"] < 10, "turns were in flight"
    assert worker.wait() == -SIGKILL
    product.start_worker()

    for user, client_id in asked:
        user.answer(client_id, timeout_s=60)
    assert outcomes(product, client_ids) == {"delivered": 50}
    for user in users:
        assert [role for _, role, _ in user.transcript].count("assistant") == 5
        seqs = [seq for seq, _, _ in user.transcript]
        assert seqs == sorted(set(seqs)) == list(range(1, 11))
