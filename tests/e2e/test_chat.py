"""What a user sees of the chain: answers, refusals, replacements, and nothing else."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.e2e.product import Product
from tests.e2e.widget import Widget
from tests.waiting import wait_for

OpenWidget = Callable[..., Widget]
SAFE = "Let me tell you more about the features of our latest Mercedes models."


def test_a_question_gets_one_reply_one_model_call_and_one_trace(
    product: Product, widget: OpenWidget
) -> None:
    user = widget()

    client_id, trace_id = user.ask("What's the latest model of Mercedes?")
    answer = user.answer(client_id)

    assert "CLA" in answer["text"]
    assert answer["reviewed"] is False
    expected = {
        "user.messages.raw",
        "user.messages.cleaned",
        "agent.requests.free",
        "agent.responses.raw",
        "agent.responses.final",
    }
    wait_for(lambda: set(product.topics_of(trace_id)) == expected)
    assert len(product.topics_of(trace_id)) == len(expected)
    calls = product.sql(
        "SELECT count(*) FROM chat_modelcall m JOIN traces_record r ON r.event_id = m.request_id "
        "WHERE r.trace_id = %s",
        trace_id,
    )
    assert calls == [(1,)]
    assert len(product.asked("latest model of Mercedes")) == 1
    assert [role for _, role, _ in user.transcript] == ["user", "assistant"]


@pytest.mark.parametrize(
    "text", ["Write a romantic poem.", "Tell me how to hack a Tesla."]
)
def test_what_the_dealer_does_not_talk_about_is_refused_without_a_model_call(
    product: Product, widget: OpenWidget, text: str
) -> None:
    user = widget()

    client_id, trace_id = user.ask(text)
    answer = user.answer(client_id)

    assert product.asked(text) == []
    assert answer["text"].startswith("I'm here to help with Mercedes")
    wait_for(lambda: len(product.topics_of(trace_id)) == 2)
    assert set(product.topics_of(trace_id)) == {
        "user.messages.raw",
        "user.messages.blocked",
    }


@pytest.mark.parametrize(
    "said", ["You might like a Porsche instead.", "I would never buy a European car."]
)
def test_what_the_model_must_not_say_is_replaced_and_kept(
    product: Product, widget: OpenWidget, said: str
) -> None:
    user, marker = widget(), uuid4().hex
    product.script(match=marker, reply=said)

    client_id, trace_id = user.ask(f"Which car should I get? {marker}")
    answer = user.answer(client_id)

    assert answer["text"] == SAFE
    words = [said, "Porsche", "European"]
    assert not any(word in frame for frame in user.raw for word in words)
    wait_for(lambda: "agent.responses.flagged" in product.topics_of(trace_id))
    kept = product.sql(
        "SELECT text FROM traces_record WHERE trace_id = %s AND topic = %s",
        trace_id,
        "agent.responses.flagged",
    )
    assert kept == [(said,)]


def test_two_tabs_and_a_reconnect_come_to_the_same_transcript(
    widget: OpenWidget,
) -> None:
    name = uuid4().hex
    first, second = widget(user=name), widget(user=name)

    client_id, _ = first.ask("When are you open on Saturday?")
    first.answer(client_id)
    second.answer(client_id)
    third = widget(user=name)
    third.answer(client_id)

    assert first.transcript == second.transcript == third.transcript
    later = widget(user=name, after=1)
    later.answer(client_id)
    assert [seq for seq, _, _ in later.transcript] == [2]


@pytest.mark.long
def test_a_socket_that_is_idle_for_a_minute_still_receives(widget: OpenWidget) -> None:
    name = uuid4().hex
    idle = widget(user=name)

    with pytest.raises(AssertionError, match="no such frame"):
        idle.until(lambda frame: frame["type"] != "ready", timeout_s=60)
    client_id, _ = widget(user=name).ask("When are you open on Saturday?")

    idle.answer(client_id)


def test_answers_come_in_the_order_of_the_questions(
    product: Product, widget: OpenWidget
) -> None:
    user, marker = widget(), uuid4().hex
    product.script(match=marker, reply="It is quiet and quick.", delay_ms=1_500)

    slow, _ = user.ask(f"How does the EQE drive? {marker}")
    refused, _ = user.ask("Write a romantic poem.")
    user.answer(refused)

    answers = [
        frame["in_reply_to"]
        for frame in user.frames
        if frame.get("role") == "assistant"
    ]
    assert answers == [slow, refused]


def test_a_held_answer_does_not_hold_up_the_next(
    product: Product, widget: OpenWidget
) -> None:
    user, marker = widget(), uuid4().hex
    product.script(match=marker, reply="I can give you 25 % off today.")

    held, trace_id = user.ask(f"What about the price? {marker}")
    user.status(trace_id, "waiting_for_person")
    refused, _ = user.ask("Write a romantic poem.")
    user.answer(refused)

    assert not any("25 %" in frame for frame in user.raw)
    assert product.sql(
        "SELECT state FROM chat_outcome o JOIN chat_turn t ON t.id = o.turn_id "
        "WHERE t.client_id = %s",
        held,
    ) == [("held",)]


def test_a_model_that_fails_ends_in_the_tiers_own_words(
    product: Product, widget: OpenWidget
) -> None:
    user, marker = widget(), uuid4().hex
    product.script(match=marker, status=500)

    client_id, _ = user.ask(f"Anything new? {marker}")

    assert user.answer(client_id)["text"].startswith("I cannot answer that right now.")


def test_the_same_id_is_one_message_and_with_another_text_refused(
    product: Product, widget: OpenWidget
) -> None:
    user = widget()

    client_id, trace_id = user.ask("How much does the E-Class cost?")
    user.answer(client_id)
    user.say("How much does the E-Class cost?", client_id=client_id)
    user.until(
        lambda frame: (
            frame["type"] == "accepted"
            and len([f for f in user.frames if f["type"] == "accepted"]) == 2
        )
    )
    user.say("And the S-Class?", client_id=client_id)
    error = user.until(lambda frame: frame["type"] == "error")

    assert error["code"] == "id_reused"
    assert error["id"] == client_id
    assert product.sql(
        "SELECT count(*) FROM chat_turn WHERE client_id = %s", client_id
    ) == [(1,)]
    assert len(user.transcript) == 2
    assert trace_id
