"""The guards with scorers: what is delivered, what is held for people, and who is asked at all."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from agents import topics
from agents.agent import Context, Send, UnavailableError
from agents.chat import input_guard, output_guard
from agents.events import FinalResponse, PendingResponse, RawResponse, UserMessage
from agents.scorers.scorers import Scorers
from agents.trial import make_context, make_event
from guardrails.engine import Engine, compile_rules
from guardrails.rules import Rule, RuleSet
from guardrails.verdicts import why
from tests.agents.scorers.endpoint import Fake, running, say, score
from tests.agents.stage import until
from tests.guardrails.factories import make_expression

TOXIC = Rule(
    id="toxicity",
    name="Nothing toxic",
    direction="output",
    kind="score",
    action="escalate",
    score="toxicity",
    limit=0.7,
    team="general",
)
JUDGED = msgspec.structs.replace(
    TOXIC,
    id="boasts",
    name="No boasts",
    kind="judge",
    score="",
    limit=0.5,
    team="legal",
    instruction="It must not boast.",
)
POEMS = Rule(
    id="poems",
    name="No poems",
    direction="input",
    kind="topic",
    action="block",
    reply="No.",
    limit=0.6,
    examples=("Write a poem",),
)
CARS_ONLY = msgspec.structs.replace(
    POEMS, id="cars-only", name="Only cars", examples=("car",), is_allow_list=True
)
CARDS = Rule(
    id="cards",
    name="Cards",
    direction="input",
    kind="pii",
    action="redact",
    types=("card",),
)
UNICORNS = msgspec.structs.replace(
    POEMS,
    id="unicorns",
    name="No unicorns",
    kind="terms",
    terms=("unicorn",),
    examples=(),
    limit=None,
)
CARD = "4111 1111 1111 1111"


@pytest.fixture
async def asked() -> AsyncIterator[tuple[Fake, Scorers]]:
    async with running(timeout_s=0.5) as both:
        yield both


async def answer(scorers: Scorers, text: str, *rules: Rule) -> Send:
    return await answer_with(make_context(RuleSet(rules), scorer=scorers), text)


def make_answer(text: str) -> RawResponse:
    return RawResponse(
        turn_id="t",
        conversation_id="c",
        tier="free",
        question="How?",
        text=text,
        kind="reply",
        backend="b",
        model="m",
        finish_reason="stop",
        latency_ms=1.0,
    )


async def answer_with(ctx: Context, text: str) -> Send:
    event = make_event(topics.RESPONSES_RAW, make_answer(text))
    assert output_guard.waits(event, ctx)
    [sent] = [send async for send in output_guard.handle_scored(event, ctx)]
    return sent


async def message(scorers: Scorers, text: str, *rules: Rule) -> Send:
    said = UserMessage(conversation_id="c", text=text)
    event = make_event(topics.USER_RAW, said)
    ctx = make_context(RuleSet(rules), scorer=scorers)
    assert input_guard.waits(event, ctx)
    [sent] = [send async for send in input_guard.handle_scored(event, ctx)]
    return sent


@pytest.mark.parametrize(
    ("confidence", "action"), [(0.9, "allow"), (0.4, "escalate"), (None, "escalate")]
)
def test_a_rule_reads_how_sure_the_model_said_it_was(
    confidence: float | None, action: str
) -> None:
    rule = make_expression("confidence < 0.5")
    said = msgspec.structs.replace(make_answer("Yes."), confidence=confidence)
    event = make_event(topics.RESPONSES_RAW, said)

    [sent] = output_guard.handle(event, make_context(RuleSet((rule,))))

    assert isinstance(sent.data, FinalResponse | PendingResponse)
    assert sent.data.verdict.action == action


async def test_no_verdict_is_given_by_rules_that_went_out_of_force_meanwhile(
    asked: tuple[Fake, Scorers],
) -> None:
    """The executor tries again what is away, each time with the rules of the moment."""
    fake, scorers = asked
    fake.answers["moderations"] = score(toxicity=0.1)
    fake.gate.clear()
    in_force: list[Engine] = []
    ctx = msgspec.structs.replace(
        make_context(RuleSet((TOXIC,)), scorer=scorers),
        is_in_force=lambda engine: engine is in_force[-1],
    )
    in_force.append(ctx.engine)
    judging = asyncio.create_task(answer_with(ctx, "It is quick."))
    await until(lambda: fake.asked)

    in_force.append(compile_rules(RuleSet(())))
    fake.gate.set()

    with pytest.raises(UnavailableError, match="rules have changed"):
        await judging
    in_force.append(ctx.engine)
    sent = await answer_with(ctx, "It is quick.")
    assert isinstance(sent.data, FinalResponse)


def test_nor_by_rules_that_went_out_of_force_while_the_process_was_frozen() -> None:
    ctx = msgspec.structs.replace(
        make_context(RuleSet((UNICORNS,))), is_in_force=lambda _: False
    )
    said = UserMessage(conversation_id="c", text="A unicorn")

    with pytest.raises(UnavailableError, match="rules have changed"):
        list(input_guard.handle(make_event(topics.USER_RAW, said), ctx))


@pytest.mark.parametrize(
    ("toxicity", "is_delivered"),
    [(0.69, True), (0.70, True), (0.71, False), (None, False)],
)
async def test_toxicity_must_exceed_its_limit_to_hold_and_be_there_to_deliver(
    asked: tuple[Fake, Scorers],
    toxicity: float | None,
    is_delivered: bool,  # noqa: FBT001
) -> None:
    fake, scorers = asked
    fake.answers["moderations"] = score(toxicity=toxicity)

    sent = await answer(scorers, "It is quick.", TOXIC)

    assert isinstance(sent.data, FinalResponse if is_delivered else PendingResponse)
    if toxicity == 0.71:
        assert why(sent.data.verdict) == "Nothing toxic: 0.71 over 0.7"


@pytest.mark.parametrize("said", ["errs", "stalls", "prose", "is gone"])
async def test_a_judge_that_gives_no_verdict_holds(
    asked: tuple[Fake, Scorers], said: str
) -> None:
    fake, scorers = asked
    answers: dict[str, Any] = {
        "errs": 500,
        "prose": say("Looks fine to me."),
        "is gone": b"",
    }
    fake.answers["chat/completions"] = answers.get(said, say("{}"))
    if said == "stalls":
        fake.gate.clear()

    sent = await answer(scorers, "It is quick.", JUDGED)

    assert isinstance(sent.data, PendingResponse)
    assert sent.data.team == "general"
    assert why(sent.data.verdict).startswith(
        "Not checked: boasts: no score judge:boasts: The judge "
    )


async def test_a_judge_holds_with_its_reason_and_lets_pass_what_it_finds_nothing_in(
    asked: tuple[Fake, Scorers],
) -> None:
    fake, scorers = asked
    fake.answers["chat/completions"] = say('{"breaks": 0.9, "because": "It boasts."}')
    held = await answer(scorers, "We are the best.", JUDGED)
    fake.answers["chat/completions"] = say('{"breaks": 0.5, "because": "Modest."}')
    passed = await answer(scorers, "It is quick.", JUDGED)

    assert isinstance(held.data, PendingResponse)
    assert (held.data.team, passed.topic) == ("legal", topics.RESPONSES_FINAL)
    assert why(held.data.verdict) == (
        "No boasts: 0.9 over 0.5, “We are the best.”, because “It boasts.”"
    )


async def test_a_topic_names_the_nearest_example_the_place_and_the_number(
    asked: tuple[Fake, Scorers],
) -> None:
    sent = await message(asked[1], "Hello. One more poem please!", POEMS)

    assert sent.topic == topics.USER_BLOCKED
    [finding] = sent.data.verdict.findings  # type: ignore[attr-defined]
    assert (finding.said, finding.because, finding.limit) == (
        "One more poem please!",
        "Write a poem",
        0.6,
    )
    assert finding.number == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "topic"),
    [("Which car is new?", topics.USER_CLEANED), ("Who won?", topics.USER_BLOCKED)],
)
async def test_an_allow_list_hits_what_is_near_none_of_its_examples(
    asked: tuple[Fake, Scorers], text: str, topic: str
) -> None:
    assert (await message(asked[1], text, CARS_ONLY)).topic == topic


async def test_what_is_blocked_without_a_score_asks_for_none(
    asked: tuple[Fake, Scorers],
) -> None:
    fake, scorers = asked
    fake.answers["embeddings"] = 500

    sent = await message(scorers, "A unicorn!", POEMS, UNICORNS)

    assert sent.topic == topics.USER_BLOCKED
    assert fake.asked == []


async def test_models_see_what_is_left_after_redaction(
    asked: tuple[Fake, Scorers],
) -> None:
    fake, scorers = asked

    sent = await message(scorers, f"A poem, a poem, a poem for {CARD}.", POEMS, CARDS)

    assert sent.topic == topics.USER_BLOCKED
    assert CARD not in repr(fake.asked)
    assert "1111" not in repr(fake.asked)


async def test_rules_of_another_direction_need_nothing(
    asked: tuple[Fake, Scorers],
) -> None:
    said = UserMessage(conversation_id="c", text="Hello")
    event = make_event(topics.USER_RAW, said)

    assert not input_guard.waits(event, make_context(RuleSet((TOXIC, JUDGED))))


async def test_the_scores_of_many_conversations_are_asked_for_at_once(
    asked: tuple[Fake, Scorers],
) -> None:
    fake, scorers = asked
    fake.answers["moderations"] = score(toxicity=0.1)

    sent = await asyncio.gather(
        *(answer(scorers, f"It is {number}.", TOXIC) for number in range(40))
    )

    assert {each.topic for each in sent} == {topics.RESPONSES_FINAL}
    assert len(fake.asked) < 10


async def test_an_answer_that_speaks_of_what_nobody_gave_is_held(
    asked: tuple[Fake, Scorers],
) -> None:
    fake, scorers = asked
    fake.answers["moderations"] = score(toxicity=0.1)

    sent = await answer(scorers, "Your [card kxqzabcd] is fine.", TOXIC)

    assert isinstance(sent.data, PendingResponse)
    assert why(sent.data.verdict) == (
        "Not checked: the model speaks of [card kxqzabcd], which nobody has given it"
    )
