"""A record that fails among many good ones: they go on, people see it, and send it again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from uuid import uuid4

import msgspec
import pytest
from django.conf import settings
from playwright.sync_api import Browser, expect

from agents import cloudevents, topics
from agents.broker import Producer
from agents.cloudevents import Envelope
from agents.events import UserMessage
from tests.e2e.product import Product
from tests.e2e.test_moderated_reply import browser, open_as_moderator
from tests.e2e.widget import Widget
from tests.waiting import wait_for

__all__ = ["browser"]
OpenWidget = Callable[..., Widget]
GOOD = 1_000


@contextmanager
def refusing(
    product: Product, marker: str, *, table: str, unless: str
) -> Iterator[None]:
    """Who writes such rows fails on them, as for a bug: PostgreSQL refuses them for a while."""
    name = f"broken_{marker}"
    product.sql_only(
        f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({unless}) NOT VALID"
    )
    try:
        yield
    finally:
        product.sql_only(f"ALTER TABLE {table} DROP CONSTRAINT {name}")


def send_good_ones(marker: str) -> None:
    """Messages of a thousand customers, from an outside producer; each gets a refusal."""
    producer = Producer(settings.KAFKA)
    for number in range(GOOD):
        conversation = f"{marker}-{number}"
        message = UserMessage(
            conversation_id=conversation, text="Write a romantic poem.", user="u"
        )
        event_id = cloudevents.ingress_id(conversation, "1")
        envelope = Envelope(
            id=event_id,
            type="UserMessage",
            source="shop",
            trace_id=cloudevents.trace_id_of(event_id),
        )
        producer.publish(
            topics.USER_RAW,
            key=conversation.encode(),
            value=msgspec.json.encode(message),
            headers=cloudevents.encode_headers(envelope),
            delivered=_must_be_delivered,
        )
    assert producer.flush(10) == 0


def _must_be_delivered(error: Exception | None) -> None:
    assert error is None, error


def letters(product: Product, trace_id: str) -> list[tuple[str, ...]]:
    return product.sql(
        "SELECT agent, topic, state FROM deadletters_letter WHERE trace_id = %s ORDER BY id",
        trace_id,
    )


def states(product: Product, client_ids: list[str]) -> list[str]:
    rows = product.sql(
        "SELECT o.state FROM chat_outcome o JOIN chat_turn t ON t.id = o.turn_id "
        "WHERE t.client_id = ANY(%s)",
        client_ids,
    )
    return [row[0] for row in rows]


@pytest.mark.long
def test_one_bad_record_among_a_thousand_is_one_letter_and_its_redrive_one_answer(
    product: Product, widget: OpenWidget, browser: Browser
) -> None:
    expect.set_options(timeout=15_000)
    user, marker = widget(), f"m{uuid4().hex}"
    said = f"The boot holds 540 litres. {marker}x"
    product.script(match=marker, reply=said)

    good = f"role = 'user' OR text NOT LIKE '%{marker}x%'"
    with refusing(product, marker, table="chat_message", unless=good):
        client_id, trace_id = user.ask(f"How large is the boot? {marker}")
        send_good_ones(marker)
        user.status(trace_id, "failed")
        wait_for(
            lambda: (
                product.sql(
                    "SELECT count(*) FROM chat_outcome o JOIN chat_turn t ON t.id = o.turn_id "
                    "WHERE t.conversation_id LIKE %s AND o.state = 'delivered'",
                    f"{marker}-%",
                )
                == [(GOOD,)]
            ),
            timeout_s=60,
            what="an answer for each of the others",
        )
    wait_for(lambda: letters(product, trace_id))
    assert letters(product, trace_id) == [("gate", topics.RESPONSES_FINAL, "open")]
    # The others left nothing behind.
    assert product.sql(
        "SELECT count(*) FROM deadletters_letter WHERE key LIKE %s", f"{marker}-%"
    ) == [(0,)]

    page = open_as_moderator(product, browser, "ada")
    page.goto(f"{product.base_url}/dlq/?reason={marker}")
    page.get_by_role("link", name="CheckViolation").click()
    expect(page.get_by_role("region", name="The value")).to_contain_text(marker)
    page.get_by_role("button", name="Redrive").click()
    expect(page.get_by_text("ada has redriven it")).to_be_visible()

    assert user.answer(client_id)["text"] == said
    assert [role for _, role, _ in user.transcript] == ["user", "assistant"]
    assert states(product, [client_id]) == ["delivered"]
    assert letters(product, trace_id) == [("gate", topics.RESPONSES_FINAL, "redriven")]
    wait_for(lambda: product.topics_of(trace_id).count(topics.RESPONSES_FINAL) == 2)
    page.reload()
    expect(page.get_by_text("Kafka has had it again since")).to_be_visible()
    page.get_by_role("link", name="its trace").click()
    expect(page.get_by_text("ada decided on the dead letter")).to_be_visible()


def test_all_letters_that_match_are_sent_again_by_a_job_and_each_gets_one_answer(
    product: Product, widget: OpenWidget, browser: Browser
) -> None:
    """They failed in the middle of the chain, where the model's answer is kept."""
    expect.set_options(timeout=15_000)
    users, marker = [widget() for _ in range(3)], f"m{uuid4().hex}"
    product.script(match=marker, reply=f"Seven seats. {marker}x")
    good = f"answer NOT LIKE '%{marker}x%'"

    with refusing(product, marker, table="chat_modelcall", unless=good):
        asked = [user.ask(f"How many seats? {marker}") for user in users]
        for user, (_, trace_id) in zip(users, asked, strict=True):
            user.status(trace_id, "failed", timeout_s=40)
    client_ids = [client_id for client_id, _ in asked]
    assert states(product, client_ids) == ["failed"] * 3
    for _, trace_id in asked:
        wait_for(partial(letters, product, trace_id))
        assert letters(product, trace_id) == [
            ("responder", topics.request_topic("free"), "open")
        ]

    page = open_as_moderator(product, browser, "ada")
    page.goto(f"{product.base_url}/dlq/?reason={marker}")
    page.get_by_label("all 3 open ones that match").check()
    page.get_by_role("button", name="Redrive").click()
    expect(page.get_by_text("0 of 3 gone through")).to_be_visible()
    product.python(
        "from controlplane.deadletters.tasks import run_jobs\nrun_jobs()"
    )  # as beat has a worker do

    expect(page.get_by_text("3 of 3 gone through")).to_be_visible()
    for user, client_id in zip(users, client_ids, strict=True):
        assert user.answer(client_id)["text"] == f"Seven seats. {marker}x"
        assert [role for _, role, _ in user.transcript] == ["user", "assistant"]
    assert states(product, client_ids) == ["delivered"] * 3
