"""The demo model's vectors and category scores, over the OpenAI API."""

import math
from pathlib import Path

import openai
import pytest
from openai import OpenAI

from controlplane.embedded.model_server.minilm import DIMENSIONS, MiniLM
from controlplane.embedded.model_server.moderator import Moderator, Scores, spellings
from tests.embedded.conftest import KNOWLEDGE, DemoModel

EMBEDDINGS = "all-MiniLM-L6-v2"
MODERATION = "interlock-moderation"
# Written after the lessons, and never learnt from.
SENTENCES = Path(__file__).parent / "moderation.tsv"
# What people of a dealer say, and sounds like a threat if one does not know that.
PROMISES = ("We come at two.", "I have seen your car.", "He will meet you at the gate.")
STRICT = 0.7  # above it the dealer's rule holds a text


def embed(client: OpenAI, *texts: str) -> list[list[float]]:
    answer = client.embeddings.create(model=EMBEDDINGS, input=list(texts))
    return [each.embedding for each in answer.data]


def likeness(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_vectors_are_of_length_one_and_in_the_order_of_the_texts(
    openai_client: OpenAI,
) -> None:
    texts = ["Where can I park?", "Write a poem.", "Where is the car park?"]

    vectors = embed(openai_client, *texts)
    [alone] = embed(openai_client, texts[2])

    assert {len(vector) for vector in vectors} == {DIMENSIONS}
    assert all(math.isclose(likeness(v, v), 1, abs_tol=1e-4) for v in vectors)
    assert likeness(vectors[2], alone) > 0.999
    assert likeness(vectors[0], vectors[2]) > 0.6 > likeness(vectors[0], vectors[1])


def test_plain_numbers_and_base64_are_the_same_vector(openai_client: OpenAI) -> None:
    # What the client asks for by itself is base64.
    [packed] = embed(openai_client, "Hello")
    plain = openai_client.embeddings.create(
        model=EMBEDDINGS, input="Hello", encoding_format="float"
    )

    assert likeness(packed, plain.data[0].embedding) > 0.999


def test_moderation_says_a_score_for_each_category(openai_client: OpenAI) -> None:
    answer = openai_client.moderations.create(
        model=MODERATION, input=["Where can I park?", "I will kill you, you idiot."]
    )

    calm, angry = (each.category_scores.to_dict() for each in answer.results)
    assert set(calm) >= {"toxicity", "harassment", "hate", "violence", "self-harm"}
    assert [each.flagged for each in answer.results] == [False, True]
    assert float(str(calm["toxicity"])) < 0.3
    assert float(str(angry["violence"])) > STRICT


@pytest.mark.parametrize("path", ["embeddings", "moderations"])
@pytest.mark.parametrize("given", [None, [], "", ["fine", ""], [7]], ids=str)
def test_what_is_no_input_is_refused(
    openai_client: OpenAI, path: str, given: object
) -> None:
    with pytest.raises(openai.BadRequestError, match="input"):
        openai_client.post(
            f"/{path}", body={"model": EMBEDDINGS, "input": given}, cast_to=object
        )


def test_scripts_say_for_which_endpoint_they_are(
    model: DemoModel, openai_client: OpenAI
) -> None:
    mark = "script-of-scores"
    model.script(match=mark, endpoint="moderations", scores={"toxicity": 0.7}, times=1)
    model.script(match=mark, endpoint="embeddings", status=503, times=1)

    with pytest.raises(openai.InternalServerError):
        embed(openai_client, mark)
    embed(openai_client, mark)
    answer = openai_client.moderations.create(input=f"please {mark}")
    scores = answer.results[0].category_scores.to_dict()

    assert {n: s for n, s in scores.items() if s is not None} == {"toxicity": 0.7}


def test_a_script_for_chat_is_not_used_up_by_scores(
    model: DemoModel, openai_client: OpenAI
) -> None:
    mark = "script-of-chat"
    model.script(match=mark, reply="Yes.", times=1)

    embed(openai_client, mark)
    reply = openai_client.chat.completions.create(
        model="interlock-demo", messages=[{"role": "user", "content": mark}]
    )

    assert reply.choices[0].message.content == "Yes."


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("F u c k y0u", "Fuck you"),
        ("Y0u 1d10t!", "You idiot!"),
        ("i.d.i.o.t", "idiot"),
        ("The E-Class has 350 hp and 4 seats", "The E-Class has 350 hp and 4 seats"),
    ],
)
def test_letters_are_read_as_they_are_meant(written: str, meant: str) -> None:
    assert spellings(written)[-1].casefold().replace(
        " ", ""
    ) == meant.casefold().replace(" ", "")


def test_what_the_moderator_finds_and_what_it_takes_for_more_than_it_is() -> None:
    """docs/demo-model.md tells these figures; they may only become better."""
    moderator = Moderator(MiniLM())
    lines = SENTENCES.read_text().splitlines()
    labels = [line.startswith("toxic\t") for line in lines]
    scores = moderator.score([line.partition("\t")[2] for line in lines])
    hits = [each["toxicity"] > STRICT for each in scores]

    found = sum(hit and toxic for hit, toxic in zip(hits, labels, strict=True))
    assert found / sum(hits) >= 0.96
    assert found / sum(labels) >= 0.80
    assert _at_the_end_of_a_long_text(moderator)["toxicity"] > STRICT
    harmless = moderator.score([*KNOWLEDGE.read_text().splitlines(), *PROMISES])
    assert max(each["toxicity"] for each in harmless) <= STRICT


def _at_the_end_of_a_long_text(moderator: Moderator) -> Scores:
    calm = "The seats are heated and the boot holds 540 litres. " * 60
    [scores] = moderator.score([f"{calm}\nYou are a stupid idiot, go to hell."])
    return scores
