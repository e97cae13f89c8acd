import asyncio
import http.client
import json
from typing import Any, Literal

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from controlplane.embedded.model_server.answers import UNKNOWN
from controlplane.embedded.model_server.wire import MAX_BODY
from tests.embedded.conftest import DemoModel

PRICE = "How much does the E-Class cost?"
PRICE_ANSWER = "The E-Class costs from EUR 63,500."


def talk(shown: str, *said: str) -> list[ChatCompletionMessageParam]:
    """The system message, then user and assistant in turn."""
    messages: list[ChatCompletionMessageParam] = [{"role": "system", "content": shown}]
    for number, text in enumerate(said):
        if number % 2:
            messages.append({"role": "assistant", "content": text})
        else:
            messages.append({"role": "user", "content": text})
    return messages


def ask(client: OpenAI, shown: str, *said: str) -> str:
    reply = client.chat.completions.create(
        model="interlock-demo", messages=talk(shown, *said)
    )
    assert reply.choices[0].finish_reason == "stop"
    return reply.choices[0].message.content or ""


def test_it_answers_from_the_shown_knowledge(openai_client: OpenAI, shown: str) -> None:
    assert ask(openai_client, shown, PRICE) == PRICE_ANSWER


def test_it_admits_what_it_does_not_know(openai_client: OpenAI, shown: str) -> None:
    assert ask(openai_client, shown, "Do you sell bicycles?") == UNKNOWN


def test_it_follows_the_conversation(openai_client: OpenAI, shown: str) -> None:
    latest = ask(openai_client, shown, "What's the latest model of Mercedes?")

    assert "CLA electric" in latest
    said = ("What's the latest model of Mercedes?", latest, "and how much is it?")
    assert "EUR 55,900" in ask(openai_client, shown, *said)


def test_a_stream_says_the_same_word_by_word(openai_client: OpenAI, shown: str) -> None:
    chunks = list(
        openai_client.chat.completions.create(
            model="interlock-demo",
            messages=talk(shown, PRICE),
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    words = [delta.content for delta in deltas if delta.content]
    assert deltas[0].role == "assistant"
    assert "".join(words) == PRICE_ANSWER
    assert len(words) == len(PRICE_ANSWER.split())
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in chunks}) == 1
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens == len(words)


def test_usage_counts_words(openai_client: OpenAI) -> None:
    reply = openai_client.chat.completions.create(
        model="any-name", messages=talk("one two three", "Hello!")
    )

    assert reply.usage is not None
    assert reply.usage.prompt_tokens == 4
    assert reply.usage.total_tokens == 4 + reply.usage.completion_tokens
    assert reply.model == "any-name"
    assert reply.created > 0


class Finding(BaseModel):
    answer: str
    confidence: float
    tone: Literal["kind", "cold"]
    notes: list[str]


def test_a_json_schema_is_answered_with_valid_json(
    openai_client: OpenAI, shown: str
) -> None:
    reply = openai_client.chat.completions.parse(
        model="interlock-demo", messages=talk(shown, PRICE), response_format=Finding
    )

    found = reply.choices[0].message.parsed
    assert found is not None
    assert found.answer == PRICE_ANSWER
    assert found.confidence == 1.0


def test_a_json_object_holds_the_answer(openai_client: OpenAI, shown: str) -> None:
    reply = openai_client.chat.completions.create(
        model="interlock-demo",
        messages=talk(shown, PRICE),
        response_format={"type": "json_object"},
    )

    assert json.loads(reply.choices[0].message.content or "")["answer"] == PRICE_ANSWER


def test_a_schema_that_cannot_be_filled_is_refused(openai_client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="Invalid schema"):
        openai_client.chat.completions.create(
            model="interlock-demo",
            messages=talk("", PRICE),
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "odd", "schema": {"not": {}}},
            },
        )


def test_max_tokens_cuts_the_reply(openai_client: OpenAI, shown: str) -> None:
    reply = openai_client.chat.completions.create(
        model="interlock-demo", messages=talk(shown, PRICE), max_completion_tokens=2
    )

    assert reply.choices[0].message.content == "The E-Class"
    assert reply.choices[0].finish_reason == "length"


def test_content_may_come_in_parts(openai_client: OpenAI, shown: str) -> None:
    reply = openai_client.chat.completions.create(
        model="interlock-demo",
        messages=[
            {"role": "developer", "content": shown},
            {"role": "user", "content": [{"type": "text", "text": PRICE}]},
        ],
    )

    assert reply.choices[0].message.content == PRICE_ANSWER


def test_it_says_that_it_is_a_demo_model(
    model: DemoModel, openai_client: OpenAI
) -> None:
    cards = list(openai_client.models.list())
    raw = openai_client.models.with_raw_response.retrieve("interlock-demo")

    chat, vectors, scores = (card.id for card in cards)
    assert (chat, vectors) == ("interlock-demo", "all-MiniLM-L6-v2")
    assert scores == "interlock-moderation"
    assert raw.headers["x-interlock-demo-model"] == "1"
    assert raw.parse().to_dict()["is_demo_model"] is True
    assert model.call("GET", "/healthz") == {"status": "ok", "is_demo_model": True}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/chat/completions", b"{nonsense", 400),
        ("POST", "/v1/chat/completions", b"[" * 100_000, 400),
        ("POST", "/v1/chat/completions", b"[]", 400),
        ("POST", "/v1/chat/completions", b"{}", 400),
        ("POST", "/v1/chat/completions", b'{"model": "m", "messages": []}', 400),
        (
            "POST",
            "/v1/chat/completions",
            b'{"model": "m", "messages": [{"role": "x"}]}',
            400,
        ),
        ("POST", "/v1/chat/completions", b'{"messages": [{"role": "user"}]}', 400),
        (
            "POST",
            "/v1/chat/completions",
            b'{"model": "m", "stream_options": 1, "messages": [{"role": "user"}]}',
            400,
        ),
        ("POST", "/v1/chat/completions", b" " * (MAX_BODY + 1), 413),
        ("GET", "/v1/chat/completions", b"", 405),
        ("POST", "/v1/completions", b"{}", 404),
        ("GET", "/v1/models/other", b"", 404),
        ("GET", "/nothing", b"", 404),
        ("DELETE", "/healthz", b"", 405),
        ("POST", "/control/script", b"nonsense", 400),
        ("POST", "/control/script", b"[]", 400),
        ("POST", "/control/script", b'{"unknown": 1}', 400),
        ("POST", "/control/script", b'{"times": "2"}', 400),
        ("POST", "/control/script", b'{"delay_ms": true}', 400),
        ("POST", "/control/script", b'{"replies": [1]}', 400),
        ("POST", "/control/script", b'{"status": 200}', 400),
        ("POST", "/control/script", b'{"times": -1}', 400),
        ("GET", "/control/requests?at_least=many", b"", 400),
    ],
)
def test_wrong_requests_get_an_error_in_the_usual_shape(
    model: DemoModel, method: str, path: str, body: bytes, status: int
) -> None:
    answer, payload = raw_call(model, method, path, body)

    assert answer == status
    assert payload["error"]["message"]
    assert payload["error"]["type"] == "invalid_request_error"


def raw_call(model: DemoModel, method: str, path: str, body: bytes) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(
        model.root.removeprefix("http://"), timeout=20
    )
    connection.request(method, path, body)
    response = connection.getresponse()
    payload = json.load(response)
    connection.close()
    return response.status, payload


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / SPDY/3\r\n\r\n", 400),
        (b"POST /v1/models HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST /v1/models HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n", 431),
    ],
)
async def test_what_is_not_http_is_refused(
    model: DemoModel, sent: bytes, status: int
) -> None:
    host, port = model.root.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)

    first = await reader.readline()

    assert first.startswith(f"HTTP/1.1 {status} ".encode())
    writer.close()


async def test_fifty_streams_run_side_by_side(model: DemoModel) -> None:
    marks = [f"[parallel {number}]" for number in range(50)]

    async with model.async_client() as client:
        began = asyncio.get_running_loop().time()
        texts = await asyncio.gather(*(slow_stream(client, mark) for mark in marks))
        took = asyncio.get_running_loop().time() - began

    assert texts == [f"only for {mark}" for mark in marks]
    assert took < 50 * 4 * 0.05  # what they would take one after the other


async def slow_stream(client: openai.AsyncOpenAI, mark: str) -> str:
    script = json.dumps({"reply": f"only for {mark}", "chunk_delay_ms": 50})
    chunks = await client.chat.completions.create(
        model="interlock-demo",
        messages=talk("", mark),
        stream=True,
        extra_headers={"x-interlock-script": script},
    )
    words = [chunk.choices[0].delta.content async for chunk in chunks]
    return "".join(word for word in words if word)
