import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI

from tests.embedded.conftest import DemoModel, running_model

MODEL = "interlock-demo"


@pytest.fixture
def mark(model: DemoModel, request: pytest.FixtureRequest) -> Iterator[str]:
    """A word in the messages of this test only."""
    yield request.node.name
    for path in ("script", "requests"):
        model.call("DELETE", f"/control/{path}?match={request.node.name}")


def ask(client: OpenAI, text: str, **options: Any) -> str:
    reply = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": text}], **options
    )
    return reply.choices[0].message.content or ""


def stream(client: OpenAI, text: str, **options: Any) -> Iterator[str]:
    chunks = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": text}],
        stream=True,
        **options,
    )
    for chunk in chunks:
        yield chunk.choices[0].delta.content or ""


def test_a_scripted_reply_is_given_to_matching_messages_only(
    model: DemoModel, openai_client: OpenAI, mark: str
) -> None:
    model.script(match=mark, reply="Take 50 off.")

    assert ask(openai_client, f"please {mark}") == "Take 50 off."
    assert "".join(stream(openai_client, mark)) == "Take 50 off."
    assert ask(openai_client, "something else") != "Take 50 off."


def test_replies_take_turns_and_the_latest_repeats(
    model: DemoModel, openai_client: OpenAI, mark: str
) -> None:
    model.script(match=mark, replies=["one", "two"])

    assert [ask(openai_client, mark) for _ in range(3)] == ["one", "two", "two"]


def test_a_script_ends_after_its_times_and_the_next_takes_over(
    model: DemoModel, openai_client: OpenAI, mark: str
) -> None:
    model.script(match=mark, times=2, status=500)
    model.script(match=mark, reply="well again")

    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            ask(openai_client, mark)
    assert ask(openai_client, mark) == "well again"
    assert [each["used"] for each in scripts(model, mark)] == [2, 1]


def scripts(model: DemoModel, mark: str) -> list[dict[str, Any]]:
    listed = model.call("GET", "/control/script")["scripts"]
    return [each for each in listed if each["match"] == mark]


def test_a_script_can_be_for_one_model_only(
    model: DemoModel, openai_client: OpenAI, mark: str
) -> None:
    model.script(match=mark, model="backup", reply="never asked")

    assert ask(openai_client, mark) != "never asked"


def test_a_match_goes_before_a_script_for_everyone(mark: str) -> None:
    with running_model() as running, running.client() as client:
        running.script(reply="for everyone")
        running.script(match=mark, reply="for this one")

        assert ask(client, mark) == "for this one"
        assert ask(client, "another") == "for everyone"
        assert running.call("DELETE", "/control/script") == {"cleared": 2}
        assert ask(client, "another") != "for everyone"


def test_a_rate_limit_says_when_to_come_back(
    model: DemoModel, openai_client: OpenAI, mark: str
) -> None:
    model.script(match=mark, status=429, retry_after=1.5)

    with pytest.raises(openai.RateLimitError) as caught:
        ask(openai_client, mark)

    assert caught.value.response.headers["retry-after"] == "1.5"
    assert caught.value.code == "rate_limit_exceeded"


def test_a_slow_reply_runs_into_the_callers_timeout(
    model: DemoModel, mark: str
) -> None:
    model.script(match=mark, delay_ms=60_000)

    with model.client(timeout=1) as client, pytest.raises(openai.APITimeoutError):
        ask(client, mark)

    [entry] = model.finished(mark)
    assert entry["disconnected"] is True
    assert entry["status"] is None


def test_hanging_up_in_a_slow_stream_is_noticed(
    model: DemoModel, openai_client: OpenAI, mark: str
) -> None:
    model.script(match=mark, reply="one two", chunk_delay_ms=60_000)

    with openai_client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": mark}], stream=True
    ) as chunks:
        next(iter(chunks))
        [running] = model.requests(mark)
        assert running["finished_at"] is None

    [entry] = model.finished(mark)
    assert entry["disconnected"] is True
    assert entry["chunks_sent"] == 0


def test_a_stream_breaks_off_after_so_many_words(
    model: DemoModel, openai_client: OpenAI, mark: str
) -> None:
    model.script(match=mark, reply="one two three four", break_stream_after=2)
    words = stream(openai_client, mark)

    assert [next(words), next(words), next(words)] == ["", "one", " two"]
    with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
        next(words)
    [entry] = model.finished(mark)
    assert (entry["text"], entry["was_cut"], entry["disconnected"]) == (
        "one two",
        True,
        False,
    )


def test_a_whole_reply_breaks_off_too(
    model: DemoModel, openai_client: OpenAI, mark: str
) -> None:
    model.script(match=mark, break_stream_after=0)

    with pytest.raises(openai.APIConnectionError):
        ask(openai_client, mark)


def test_garbage_is_not_json(
    model: DemoModel, openai_client: OpenAI, mark: str
) -> None:
    model.script(match=mark, garbage=True)

    with pytest.raises((json.JSONDecodeError, openai.APIError)):
        ask(openai_client, mark)
    with pytest.raises((json.JSONDecodeError, openai.APIError)):
        list(stream(openai_client, mark))


def test_a_finish_reason_can_be_scripted(
    model: DemoModel, openai_client: OpenAI, mark: str
) -> None:
    model.script(match=mark, finish_reason="content_filter")

    reply = openai_client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": mark}]
    )

    assert reply.choices[0].finish_reason == "content_filter"


def test_a_scripted_answer_still_fills_the_schema(
    model: DemoModel, openai_client: OpenAI, mark: str
) -> None:
    model.script(match=mark, answer="Perhaps.", confidence=0.35)

    text = ask(openai_client, mark, response_format={"type": "json_object"})

    assert json.loads(text) == {"answer": "Perhaps.", "confidence": 0.35}


def test_a_script_in_the_header_goes_first(
    model: DemoModel, openai_client: OpenAI, mark: str
) -> None:
    model.script(match=mark, reply="from the book")
    header = {"x-interlock-script": json.dumps({"reply": "from the header"})}

    assert ask(openai_client, mark, extra_headers=header) == "from the header"
    with pytest.raises(openai.BadRequestError, match="x-interlock-script"):
        ask(openai_client, mark, extra_headers={"x-interlock-script": "{"})


def test_requests_are_recorded_without_secrets(
    model: DemoModel, openai_client: OpenAI, mark: str
) -> None:
    model.script(match=mark, reply="noted")
    ask(openai_client, f"first {mark}")
    ask(openai_client, f"second {mark}", extra_headers={"x-trace": "t-1"})

    first, second = model.finished(mark, 2)

    assert first["number"] < second["number"]
    assert (second["status"], second["text"]) == (200, "noted")
    assert second["body"]["messages"][0]["content"] == f"second {mark}"
    assert second["headers"]["x-trace"] == "t-1"
    assert "authorization" not in second["headers"]
    assert len(model.requests(f"first {mark}")) == 1
    assert model.call("DELETE", f"/control/requests?match={mark}") == {"cleared": 2}
    assert model.requests(mark) == []


def test_a_long_listing_gives_the_latest(
    model: DemoModel, openai_client: OpenAI, mark: str
) -> None:
    for number in range(3):
        ask(openai_client, f"{mark} {number}")
    model.finished(mark, 3)

    listed = model.requests(mark, limit=2)

    assert [each["question"] for each in listed] == [f"{mark} 1", f"{mark} 2"]


def test_every_request_can_be_listed_however_odd(model: DemoModel) -> None:
    with pytest.raises(HTTPError):
        model.call("POST", "/v1/odd", "[" * 100)

    assert model.requests("")[-1]["status"] == 404


def test_waiting_for_requests_ends_when_the_time_is_up(
    model: DemoModel, mark: str
) -> None:
    assert model.requests(mark, at_least=1, timeout_ms=20) == []


def test_requests_are_written_to_the_data_directory(tmp_path: Path) -> None:
    options = ("--data-dir", str(tmp_path / "model"), "--delay-ms", "1")
    with running_model(*options) as running, running.client() as client:
        ask(client, "keep this: ü 😀")
        assert running.finished("keep this")

    [line] = (tmp_path / "model" / "requests.jsonl").read_text().splitlines()
    assert json.loads(line)["question"] == "keep this: ü 😀"


def test_sigterm_ends_it_at_once_even_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"Hello"}]}'
    options = ("--chunk-delay-ms", "60000", "--data-dir", str(tmp_path))
    with running_model(*options) as running:
        host, port = running.root.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\n")
            client.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            client.recv(1)
            assert running.stop() == 0

    [line] = (tmp_path / "requests.jsonl").read_text().splitlines()
    assert json.loads(line)["finished_at"]
