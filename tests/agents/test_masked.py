"""What a model is shown: the operator's own words as they are, those of users without personal data."""

from agents.agent import Answer, Said
from agents.masked import NOTE, show
from tests.guardrails.factories import make_masker

PHONE = "+49 711 17-0"
CARD = "4111 1111 1111 1111"


def answer(text: str) -> Answer:
    return Answer(text=text, backend="b", model="m", finish_reason="stop", latency_ms=1)


def test_messages_without_personal_data_are_shown_as_they_are() -> None:
    messages = [Said("system", f"Call {PHONE}."), Said("user", "Hello")]

    assert show(make_masker(), messages, "r1").messages == messages


def test_both_sides_are_masked_and_the_operators_words_are_not() -> None:
    messages = [
        Said("system", f"Our number is {PHONE}."),
        Said("user", f"My card is {CARD}."),
        Said("assistant", f"Thank you for {CARD}."),
        Said("user", "Which one?"),
    ]

    shown = show(make_masker(), messages, "r1")

    assert shown.messages[0] == Said("system", f"Our number is {PHONE}.\n\n{NOTE}")
    [card] = {said.text.split("[")[1] for said in shown.messages[1:3]}
    assert shown.messages[1].text == f"My card is [{card}"
    assert [said.role for said in shown.messages] == [said.role for said in messages]
    assert shown.restore(answer(f"It is [{card}")).text == f"It is {CARD}."


def test_without_instructions_the_note_stands_alone() -> None:
    shown = show(make_masker(), [Said("user", CARD)], "r1")

    assert shown.messages[0] == Said("system", NOTE)
    assert shown.restore(answer(shown.messages[1].text)).text == CARD
