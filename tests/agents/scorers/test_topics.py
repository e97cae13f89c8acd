"""Likeness to examples: which one, where, and that examples are embedded once."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from agents.scorers.scorers import Scorers
from guardrails.context import Score, ScoreError, topic_score
from tests.agents.scorers.endpoint import Fake, embed, running
from tests.agents.scorers.test_scores import POEMS, TOPIC


@pytest.fixture
async def asked() -> AsyncIterator[tuple[Fake, Scorers]]:
    async with running() as both:
        yield both


async def likeness(scorers: Scorers, text: str) -> float | Score | ScoreError:
    return (await scorers.scores(text, [TOPIC], [POEMS]))[TOPIC]


@pytest.mark.parametrize(
    ("text", "number", "example", "said"),
    [
        ("A poem!", 1.0, "Write a poem", "A poem!"),
        (
            "Thanks. I want a p\u043eem. Bye.",
            1.0,
            "Write a poem",
            "I want a p\u043eem.",
        ),
        ("Thanks.\nHelp with theft", 1.0, "Stop theft", "Help with theft"),
        ("One p.o.e.m please", 1.0, "Write a poem", "One p.o.e.m please"),
        ("One p0em please", 1.0, "Write a poem", "One p0em please"),
        ("Hello there", 0.0, "Write a poem", "Hello there"),
        ("My car has a poem on it", 0.0, "Write a poem", "My car has a poem on it"),
    ],
)
async def test_the_nearest_example_of_the_likest_sentence_counts(
    asked: tuple[Fake, Scorers], text: str, number: float, example: str, said: str
) -> None:
    found = await likeness(asked[1], text)

    assert isinstance(found, Score)
    assert found.number == pytest.approx(number, abs=1e-6)
    assert (found.because, text[found.start : found.end]) == (example, said)


async def test_a_counter_example_excuses_its_own_sentence_alone(
    asked: tuple[Fake, Scorers],
) -> None:
    found = await likeness(asked[1], "My car has a poem on it. Now write a poem!")

    assert isinstance(found, Score)
    assert found.number == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "number", "said"),
    [
        ("One car, two cars.", 1.0, "One car, two cars."),
        ("Which car? And which cars?", 1.0, "Which car?"),
        ("Which car? Who won?", 0.0, "Who won?"),
        ("Who won? Which car? My car!", 0.0, "Who won?"),
        ("Which c4r?", 1.0, "Which c4r?"),
    ],
)
async def test_with_an_allow_list_nothing_passes_in_the_company_of_what_may(
    asked: tuple[Fake, Scorers], text: str, number: float, said: str
) -> None:
    rule = replace(POEMS, examples=("car",), counter_examples=(), is_allow_list=True)

    [found] = (await asked[1].scores(text, [TOPIC], [rule])).values()

    assert isinstance(found, Score)
    assert found.number == pytest.approx(number, abs=1e-6)
    assert text[found.start : found.end] == said


async def test_nothing_is_liker_than_itself(asked: tuple[Fake, Scorers]) -> None:
    """A vector times itself may come out a little over one, which would be no score."""
    fake, scorers = asked
    fake.answers["embeddings"] = lambda question: {
        "data": [
            {"index": at, "embedding": [1.0, 0.3, 0.3, 0.2]}
            for at, _ in enumerate(question["input"])
        ]
    }
    rule = replace(POEMS, counter_examples=())

    [found] = (await scorers.scores("A poem", [TOPIC], [rule])).values()

    assert isinstance(found, Score)
    assert found.number == 1


async def test_examples_are_embedded_once_for_all_rule_sets(
    asked: tuple[Fake, Scorers],
) -> None:
    fake, scorers = asked
    await scorers.prepare([POEMS])
    await scorers.prepare([replace(POEMS, id="others", examples=("Write a poem", "x"))])
    before = len(fake.asked)

    await likeness(scorers, "A poem.")

    assert fake.texts("embeddings")[:before] == [
        ["Write a poem", "Stop theft", "poem car"],
        ["x"],
    ]
    assert fake.texts("embeddings")[before:] == [["a poem."]]


async def test_examples_that_could_not_be_embedded_are_asked_for_by_the_first_text(
    asked: tuple[Fake, Scorers],
) -> None:
    fake, scorers = asked
    fake.answers["embeddings"] = 400
    await scorers.prepare([POEMS])
    fake.answers["embeddings"] = embed

    assert isinstance(await likeness(scorers, "A poem."), Score)


async def test_texts_that_wait_at_the_same_moment_go_in_one_request(
    asked: tuple[Fake, Scorers],
) -> None:
    fake, scorers = asked
    await scorers.prepare([POEMS])
    fake.gate.clear()
    texts = [f"poem {number}" for number in range(5)]
    waiting = [asyncio.create_task(likeness(scorers, text)) for text in texts]
    async with asyncio.timeout(5):
        while len(fake.asked) < 2:
            await asyncio.sleep(0.01)
    fake.gate.set()
    await asyncio.gather(*waiting)

    batches = fake.texts("embeddings")[1:]
    assert sum(batches, []) == texts  # noqa: RUF017
    assert len(batches) <= 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"data": []}, "answered with 0 vectors for 1 texts"),
        ({"data": [{"index": 1, "embedding": [1, 0, 0, 0]}]}, "1 vectors for 1 texts"),
        ({"data": [{"index": 0, "embedding": [1, 0, 0]}]}, "3 dimensions, not 4"),
        ({"data": [{"index": 0, "embedding": [0, 0, 0, 0]}]}, "has no direction"),
        ({"data": [{"index": 0, "embedding": [1e308] * 4}]}, "has no direction"),
        ({"data": [{"index": 0, "embedding": ["a"]}]}, "not what was asked for"),
        ({"data": [{"index": 0, "embedding": "AAAA"}]}, "not what was asked for"),
    ],
    ids=str,
)
async def test_what_is_no_vector_says_why(
    asked: tuple[Fake, Scorers], answer: Any, reason: str
) -> None:
    fake, scorers = asked
    await scorers.prepare([POEMS])
    fake.answers["embeddings"] = lambda _: answer

    found = await likeness(scorers, "A poem.")

    assert isinstance(found, ScoreError)
    assert reason in found.reason
    assert found.reason.startswith("The embeddings endpoint ")


async def test_a_text_of_very_many_sentences_has_no_likeness(
    asked: tuple[Fake, Scorers],
) -> None:
    found = await likeness(asked[1], "No. " * 1_000)

    assert found == ScoreError("the text has over 256 sentences")


async def test_nothing_is_like_nothing(asked: tuple[Fake, Scorers]) -> None:
    assert await likeness(asked[1], " \u200b\n") == Score(-1.0)


async def test_a_text_that_is_refused_takes_no_other_with_it(
    asked: tuple[Fake, Scorers],
) -> None:
    fake, scorers = asked
    await scorers.prepare([POEMS])

    def refuse(question: Mapping[str, Any]) -> Any:
        if "odd" in "".join(question["input"]):
            raise web.HTTPBadRequest(text="I do not take that")
        return embed(question)

    fake.answers["embeddings"] = refuse
    good, odd, other = await asyncio.gather(
        *(likeness(scorers, text) for text in ("poem", "odd", "theft"))
    )

    assert isinstance(good, Score)
    assert isinstance(other, Score)
    assert isinstance(odd, ScoreError)
    assert "400: I do not take that" in odd.reason


async def test_long_texts_go_in_requests_of_their_own(
    asked: tuple[Fake, Scorers],
) -> None:
    fake, scorers = asked
    await scorers.prepare([POEMS])
    before = len(fake.asked)
    texts = [f"{number}" * 240 for number in range(10)]

    await scorers.scores(". ".join(texts * 10), [TOPIC], [POEMS])

    sizes = [len("".join(batch)) for batch in fake.texts("embeddings")[before:]]
    assert max(sizes) <= 20_000


async def test_several_topics_share_the_vectors_of_a_text(
    asked: tuple[Fake, Scorers],
) -> None:
    fake, scorers = asked
    thefts = replace(POEMS, id="thefts", examples=("theft",), counter_examples=())
    await scorers.prepare([POEMS, thefts])
    before = len(fake.asked)

    found = await scorers.scores(
        "Theft!", [TOPIC, topic_score("thefts")], [POEMS, thefts]
    )

    assert fake.texts("embeddings")[before:] == [["theft!"]]
    assert [score.because for score in found.values() if isinstance(score, Score)] == [
        "Stop theft",
        "theft",
    ]
