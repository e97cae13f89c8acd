"""Rules that need models, through the whole product: what passes, what is held, and what the pages say."""

import html
from collections.abc import Callable
from uuid import uuid4

import pytest

from controlplane.embedded.services import Services
from tests.e2e.person import Person
from tests.e2e.product import Product
from tests.e2e.widget import Widget
from tests.waiting import wait_for

OpenWidget = Callable[..., Widget]


def held_because(product: Product, question: str) -> str:
    """Return why a question's answer waits for a person, as soon as it does."""
    [[reason]] = wait_for(
        lambda: product.sql(
            "SELECT a.why FROM moderation_approval a JOIN chat_turn t "
            "ON t.id = a.turn_id WHERE t.text = %s",
            question,
        )
    )
    return str(reason)


@pytest.mark.parametrize("toxicity", [0.69, 0.70])
def test_what_is_not_over_the_limit_is_delivered(
    product: Product, widget: OpenWidget, toxicity: float
) -> None:
    user, marker = widget(), uuid4().hex
    product.script(match=marker, reply=f"It is quick. {marker}")
    product.script(match=marker, endpoint="moderations", scores={"toxicity": toxicity})

    client_id, _ = user.ask(f"How does it drive? {marker}")

    assert user.answer(client_id)["text"] == f"It is quick. {marker}"


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        ({"toxicity": 0.71}, "Nothing toxic: 0.71 over 0.7"),
        ({}, "Not checked: toxicity: no score toxicity: The moderation endpoint gave"),
    ],
    ids=["over the limit", "missing"],
)
def test_what_is_over_the_limit_or_has_no_score_is_held(
    product: Product, widget: OpenWidget, scores: dict[str, float], why: str
) -> None:
    user, marker = widget(), uuid4().hex
    product.script(match=marker, reply=f"It is quick. {marker}")
    product.script(match=marker, endpoint="moderations", scores=scores)

    question = f"How does it drive? {marker}"
    _, trace_id = user.ask(question)

    user.status(trace_id, "waiting_for_person")
    assert held_because(product, question).startswith(why)
    assert not any("It is quick" in frame for frame in user.raw)


def test_a_killed_scorer_holds_what_needs_it_and_the_control_room_says_so(
    product: Product, widget: OpenWidget, services: Services
) -> None:
    user = widget()
    ada = Person(product.base_url, name="ada", password=product.password)
    assert services.model is not None
    services.model.kill()
    try:
        question = f"Is the boot large? {uuid4().hex}"
        _, trace_id = user.ask(question)
        user.status(trace_id, "waiting_for_person")
        refused, _ = user.ask("Write a romantic poem.")
        user.answer(refused)  # by a pattern, which needs no score

        assert "The embeddings endpoint gave no answer" in held_because(
            product, question
        )
        told = "Guardrail scorer does not answer."
        wait_for(lambda: told in html.unescape(ada.look("/").text), timeout_s=20)
    finally:
        services.model.start()
    client_id, _ = user.ask("When are you open on Saturday?")

    user.answer(client_id)
