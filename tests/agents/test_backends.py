"""How a backend is asked, and what is made of everything that it may say."""

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agents import backends as backends_module
from agents.agent import Answer, Said
from agents.backends import (
    BackendError,
    Backends,
    BrokenAnswerError,
    NotNowError,
    PassingError,
    RefusedError,
    UnreachableError,
)
from agents.control_state import Route
from tests.agents.raw_http import Server, head, ok

KEY = "sk-very-secret"


@pytest.fixture
async def backends(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Backends]:
    monkeypatch.setenv("SOME_KEY", KEY)
    made = Backends()
    yield made
    await made.close()


def route(url: str, **fields: Any) -> Route:
    defaults: dict[str, Any] = {
        "tier": "free",
        "backend": "test",
        "base_url": url,
        "model": "some-model",
        "key_variable": "SOME_KEY",
        "timeout_s": 5,
        "fallback_text": "Sorry, not now.",
    }
    return Route(**(defaults | fields))


async def ask(backends: Backends, url: str, **fields: Any) -> Answer:
    return await backends.ask(route(url, **fields), [Said("user", "Hello")])


def chunk(text: str, finish_reason: str | None = None) -> bytes:
    said = {"choices": [{"delta": {"content": text}, "finish_reason": finish_reason}]}
    return b"data: " + json.dumps(said, ensure_ascii=False).encode()


def stream(*texts: str, end: bytes = b"\n\n") -> bytes:
    lines = [*map(chunk, texts), chunk("", "stop"), b"data: [DONE]"]
    return end.join(lines) + end


@pytest.mark.parametrize(
    ("variable", "sent"), [("SOME_KEY", KEY), ("NO_SUCH_KEY", "none")]
)
async def test_keys_are_named_by_the_backend_and_read_from_the_environment(
    backends: Backends, variable: str, sent: str
) -> None:
    async with Server(ok(stream("Hi."))) as server:
        await ask(backends, server.url, key_variable=variable)

    [request] = server.requests
    assert f"\r\nAuthorization: Bearer {sent}\r\n" in request


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_base_url_may_end_with_a_slash(backends: Backends, slash: str) -> None:
    async with Server(ok(stream("Hi."))) as server:
        await ask(backends, server.url + slash)

    assert server.requests[0].startswith("POST /v1/chat/completions HTTP/1.1\r\n")


async def test_a_route_without_a_base_url_has_the_environments(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Server(ok(stream("Hi."))) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)

        assert (await ask(backends, "")).text == "Hi."


async def test_no_proxy_of_the_environment_is_asked(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with Server(ok(stream("Hi."))) as server:
        assert (await ask(backends, server.url)).text == "Hi."


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_key_follows_no_redirect(backends: Backends, status: int) -> None:
    async with Server(ok(stream("Hi."))) as other:
        location = f"location: {other.url}/chat/completions"
        async with Server(head(status, location, "content-length: 0")) as server:
            with pytest.raises(RefusedError, match=str(status)):
                await ask(backends, server.url)

    assert len(server.requests) == 1
    assert other.requests == []


async def test_no_cookie_is_kept(backends: Backends) -> None:
    body = stream("Hi.")
    said = head(200, "set-cookie: who=me", f"content-length: {len(body)}") + body
    async with Server(said) as server:
        # A cookie jar keeps none of an address without a name.
        url = server.url.replace("127.0.0.1", "localhost")
        for _ in range(2):
            await ask(backends, url)

    assert "cookie" not in "".join(server.requests).casefold()


@pytest.mark.parametrize("end", [b"\n", b"\n\n", b"\r\n", b"\r\n\r\n"], ids=repr)
async def test_lines_may_end_as_they_like_and_the_last_one_need_not(
    backends: Backends, end: bytes
) -> None:
    body = stream("a", "b", end=end)
    lines = body.removesuffix(end + b"data: [DONE]" + end)  # ends in the finish_reason

    for said in (body, lines):
        async with Server(ok(said)) as server:
            assert (await ask(backends, server.url)).text == "ab"


@pytest.mark.parametrize("chunked", [False, True], ids=["plain", "chunked"])
async def test_an_answer_may_be_cut_anywhere(
    backends: Backends,
    chunked: bool,  # noqa: FBT001
) -> None:
    said = "Größe: 5 € \N{LINE SEPARATOR} \N{GRINNING FACE}"
    body = stream(said)
    pieces = [body[n : n + 1] for n in range(len(body))]
    length = f"content-length: {len(body)}"
    if chunked:
        pieces = [b"1\r\n" + piece + b"\r\n" for piece in pieces] + [b"0\r\n\r\n"]
        length = "transfer-encoding: chunked"

    async with Server(head(200, length), *pieces) as server:
        assert (await ask(backends, server.url)).text == said


async def test_what_is_no_utf8_is_made_visible(backends: Backends) -> None:
    body = stream("caf\u00e9").replace("\u00e9".encode(), b"\xe9")
    async with Server(ok(body)) as server:
        assert (await ask(backends, server.url)).text == "caf\N{REPLACEMENT CHARACTER}"


async def test_comments_and_other_fields_are_passed_over(backends: Backends) -> None:
    body = b": wait\n\nevent: chunk\nid: 7\n" + stream("Hi.")
    async with Server(ok(body)) as server:
        assert (await ask(backends, server.url)).text == "Hi."


@pytest.mark.parametrize("passed", [0, 1])
async def test_an_answer_that_is_too_long_is_broken(
    backends: Backends, monkeypatch: pytest.MonkeyPatch, passed: int
) -> None:
    body = stream("x" * 50_000)
    monkeypatch.setattr(backends_module, "ANSWER_BYTES", len(body) - passed)
    async with Server(ok(body)) as server:
        if passed:
            with pytest.raises(BrokenAnswerError, match="over"):
                await ask(backends, server.url)
        else:
            assert len((await ask(backends, server.url)).text) == 50_000


async def test_an_answer_that_never_ends_is_cut_off(backends: Backends) -> None:
    """Neither a line without an end nor a bomb in gzip fills the memory."""
    bomb = gzip.compress(b"data: " + b"x" * 100_000_000)
    headers = ("content-encoding: gzip", f"content-length: {len(bomb)}")
    async with Server(head(200, *headers), bomb) as server:
        with pytest.raises(BrokenAnswerError, match="over 4194304 bytes"):
            await ask(backends, server.url)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RefusedError),
        (401, RefusedError),
        (404, RefusedError),
        (429, NotNowError),
        (500, NotNowError),
        (503, NotNowError),
    ],
)
async def test_an_error_says_its_status_and_what_the_backend_said(
    backends: Backends, status: int, kind: type[BackendError]
) -> None:
    body = b"It does not work, because of \xe9. " + b"x" * 10_000
    said = head(status, f"content-length: {len(body)}") + body
    async with Server(said) as server:
        with pytest.raises(kind) as caught:
            await ask(backends, server.url)

    said_of_it = str(caught.value)
    assert said_of_it.startswith(f"{status}: It does not work, because of \ufffd. xxx")
    assert len(said_of_it) < 220
    assert issubclass(kind, PassingError) == (kind is NotNowError)


async def test_an_error_whose_text_does_not_come_is_still_that_error(
    backends: Backends,
) -> None:
    async with Server(head(401, "content-length: 900")) as server:
        with pytest.raises(RefusedError, match=r"401: .*Not enough data"):
            await ask(backends, server.url)


@pytest.mark.parametrize(
    "said",
    [
        head(401, "content-length: 34") + b"I do not know sk-very-secret here.",
        head(401, "content-length: 999") + b"sk-very-secret",
        head(200, "transfer-encoding: chunked") + b"sk-very-secret\r\n",
        b"HTTP/1.1 sk-very-secret\r\n\r\n",
        b"POST /v1 HTTP/1.1\r\nAuthorization: Bearer sk-very-secret\r\n\r\n",
        b"sk-very-secret",
        b"HTTP/1.1 200 OK\r\nsk-very-secret",
    ],
    ids=repr,
)
async def test_a_key_that_the_backend_repeats_is_not_in_the_error(
    backends: Backends, said: bytes
) -> None:
    async with Server(said) as server:
        with pytest.raises(BackendError) as caught:
            await ask(backends, server.url)

    assert KEY not in repr(caught.value)


NO_ANSWERS = {
    "nothing": b"",
    "bytes": b"\x00\xff\x16\x03",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\n",
    "a status in words": b"HTTP/1.1 two hundred\r\n\r\n",
    "a long header": head(200, f"x-long: {'x' * 100_000}", "content-length: 0"),
    "a length in words": head(200, "content-length: none"),
    "no body": head(200, "content-length: 0"),
    "no content": head(204),
    "half a body": head(200, "content-length: 900") + chunk("cut off", "stop"),
    "half a piece": head(200, "transfer-encoding: chunked") + b"5\r\ndata",
    "a piece without a size": head(200, "transfer-encoding: chunked") + b"zz\r\nno\r\n",
    "no gzip": head(200, "content-encoding: gzip", "content-length: 4") + b"nope",
    "no deflate": head(200, "content-encoding: deflate", "content-length: 4") + b"nope",
    "half an error": head(503, "content-length: 900") + b"cut off",
    "a broken error": head(503, "transfer-encoding: chunked") + b"zz\r\n",
}


@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_what_no_server_should_say_passes(backends: Backends, name: str) -> None:
    async with Server(NO_ANSWERS[name]) as server:
        with pytest.raises(PassingError):
            await ask(backends, server.url)


async def test_a_connection_that_is_cut_in_the_middle_is_a_broken_answer(
    backends: Backends,
) -> None:
    said = head(200, "transfer-encoding: chunked") + b"5\r\ndata:\r\n"
    async with Server(said, resets=True) as server:
        with pytest.raises(BrokenAnswerError, match="the stream broke"):
            await ask(backends, server.url)


async def test_a_connection_that_is_cut_at_once_was_none(backends: Backends) -> None:
    async with Server(resets=True) as server:
        with pytest.raises(UnreachableError):
            await ask(backends, server.url)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/v1", "http://no-such-host.invalid/v1"],
)
async def test_nobody_there_is_unreachable(backends: Backends, url: str) -> None:
    with pytest.raises(UnreachableError, match="Cannot connect to host"):
        await ask(backends, url)


async def test_a_server_without_tls_is_unreachable_by_it(backends: Backends) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head(400))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UnreachableError, match="SSL"):
            await ask(backends, f"https://127.0.0.1:{port}/v1")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8089/v1",
        "/v1",
        "ftp://127.0.0.1/v1",
        "http://",
        "http://:pass@/v1",
        "http://user:sk-very-secret@127.0.0.1:1/v1",
        "http://[::1/v1",
        "http://127.0.0.1:99999/v1",
    ],
)
async def test_an_address_that_is_none_fails_at_once(
    backends: Backends, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    with pytest.raises(BackendError, match="cannot be made") as caught:
        await ask(backends, url)

    assert not isinstance(caught.value, PassingError)
    assert KEY not in repr(caught.value)


async def test_a_key_that_is_none_fails_at_once_and_is_not_told(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", f"{KEY}\r\nx-more: 1")

    async with Server(ok(stream("Hi."))) as server:
        with pytest.raises(BackendError, match="cannot be made") as caught:
            await ask(backends, server.url)

    assert server.requests == []
    assert not isinstance(caught.value, PassingError)
    assert KEY not in repr(caught.value)


async def test_half_a_pair_cannot_be_asked(backends: Backends) -> None:
    with pytest.raises(BackendError, match="UnicodeEncodeError"):
        await backends.ask(route("http://127.0.0.1:1/v1"), [Said("user", "\ud800")])


async def test_a_server_that_says_nothing_is_too_slow(backends: Backends) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(TimeoutError):
            await ask(backends, url, timeout_s=0.1)


async def test_many_are_asked_at_once(backends: Backends) -> None:
    async with Server(ok(stream("Hi."))) as server:
        answers = await asyncio.gather(*(ask(backends, server.url) for _ in range(64)))

    assert {answer.text for answer in answers} == {"Hi."}


async def test_what_was_closed_asks_nobody() -> None:
    backends = Backends()
    await backends.close()

    async with Server(ok(stream("Hi."))) as server:
        with pytest.raises(RuntimeError, match="closed"):
            await ask(backends, server.url)

    assert server.requests == []
