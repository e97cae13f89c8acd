import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings

from agents import model as model_module
from agents.agent import FALLBACK_TEXT, Answer, Said, UnavailableError
from agents.control_state import ControlState, Route
from agents.host import conninfo
from agents.model import BackendModel
from agents.postgres import Database
from tests.agents.raw_http import Server, ok
from tests.guardrails.factories import make_masker

pytestmark = pytest.mark.usefixtures("transactional_db")


class Asking:
    """The model port on the real demo model, and that model's controls for one question."""

    def __init__(self, database: Database) -> None:
        self.word = f"word-{uuid4().hex[:10]}"
        self.request_id = str(uuid4())
        self.route = Route(
            tier="free",
            backend="demo",
            base_url="",
            model="interlock-demo",
            key_variable="OPENAI_API_KEY",
            timeout_s=5,
            fallback_text="Sorry, not now.",
        )
        self.routes: tuple[Route, ...] = (self.route,)
        self.database = database
        self.port = BackendModel(
            database, lambda: ControlState(routes=self.routes), make_masker()
        )

    def set(self, **fields: Any) -> None:
        given = {
            name: getattr(self.route, name) for name in self.route.__struct_fields__
        }
        self.routes = (Route(**(given | fields)),)

    async def ask(self, request_id: str = "", text: str = "") -> Answer:
        messages = [Said("system", "Be short."), Said("user", text or self.word)]
        return await self.port.answer(
            request_id or self.request_id, tier="free", messages=messages
        )

    def script(self, **orders: Any) -> None:
        self._call("POST", "/control/script", {"match": self.word} | orders)

    def asked(self) -> int:
        return len(self.requests())

    def requests(self) -> list[dict[str, Any]]:
        found = self._call("GET", f"/control/requests?match={quote(self.word)}")
        requests: list[dict[str, Any]] = found["requests"]
        return requests

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        root = settings.OPENAI_BASE_URL.removesuffix("/v1")
        with urlopen(Request(root + path, data, method=method), timeout=10) as answer:  # noqa: S310
            return json.load(answer)


@pytest.fixture
async def asking(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asking]:
    monkeypatch.setattr(model_module, "ATTEMPTS", 2)
    database = Database(conninfo(), max_size=4)
    await database.open()
    made = Asking(database)
    port = made.port
    yield made
    await port.close()
    await database.close()


def stored() -> list[tuple[Any, ...]]:
    with psycopg.connect(conninfo()) as connection:
        return connection.execute(
            "SELECT request_id, answer, backend, kind, finish_reason, messages, tier FROM chat_modelcall"
        ).fetchall()


async def test_an_answer_is_streamed_stored_and_returned(asking: Asking) -> None:
    asking.script(reply="It costs 50,000.")

    answer = await asking.ask()

    assert answer.text == "It costs 50,000."
    assert (answer.backend, answer.kind, answer.finish_reason) == (
        "demo",
        "reply",
        "stop",
    )
    assert answer.latency_ms > 0
    [(request_id, text, backend, kind, finish_reason, messages, tier)] = stored()
    assert (request_id, text, backend) == (asking.request_id, answer.text, "demo")
    assert (kind, finish_reason, tier) == ("reply", "stop", "free")
    assert messages == [
        {"role": "system", "text": "Be short."},
        {"role": "user", "text": asking.word},
    ]


async def test_a_retry_gets_the_stored_answer_and_asks_nobody(asking: Asking) -> None:
    asking.script(replies=["first", "second"])

    answers = [await asking.ask() for _ in range(3)]

    assert [answer.text for answer in answers] == ["first"] * 3
    assert answers[1:] == [answers[0]] * 2
    assert asking.asked() == 1


async def test_personal_data_is_neither_sent_nor_stored_and_comes_back_also_on_a_retry(
    asking: Asking,
) -> None:
    asking.script(echo=True)
    said = f"{asking.word}: card 4111 1111 1111 1111, mail a@b.example"

    answers = [await asking.ask(text=said) for _ in range(2)]

    assert [answer.text for answer in answers] == [said] * 2
    [(_, text, _, _, _, messages, _)] = stored()
    sent = asking.requests()[0]["body"]["messages"]
    assert [each["content"] for each in sent] == [each["text"] for each in messages]
    assert text == messages[1]["text"]
    assert "[card " in text
    assert "[e-mail " in text
    assert "4111" not in str(sent)
    assert "a@b" not in str(sent)


async def test_what_cannot_be_masked_is_shown_to_no_model(asking: Asking) -> None:
    asking.set(fallback_text="Not now.")

    answer = await asking.ask(text=asking.word + " +49 711 12345" * 20_000)

    assert (answer.text, answer.kind, answer.finish_reason) == (
        "Not now.",
        "fallback",
        "MaskingError",
    )
    assert asking.asked() == 0


async def test_of_two_callers_at_once_one_answer_is_kept_and_both_get_it(
    asking: Asking,
) -> None:
    asking.script(replies=["one", "two", "three"], delay_ms=100)

    answers = await asyncio.gather(*(asking.ask() for _ in range(3)))

    assert len({answer.text for answer in answers}) == 1
    assert [row[1] for row in stored()] == [answers[0].text]


@pytest.mark.parametrize(
    "orders",
    [{"status": 429}, {"status": 500}, {"status": 503}, {"break_stream_after": 1}],
    ids=str,
)
async def test_what_passes_is_tried_again(
    asking: Asking, orders: dict[str, Any]
) -> None:
    asking.script(times=1, **orders)
    asking.script(reply="It was only a moment.")

    answer = await asking.ask()

    assert (answer.text, answer.kind) == ("It was only a moment.", "reply")
    assert asking.asked() == 2


@pytest.mark.parametrize(
    ("orders", "calls"),
    [
        ({"status": 500}, 2),
        ({"status": 429}, 2),
        ({"break_stream_after": 0}, 2),
        ({"break_stream_after": 2, "reply": "a b c d e f"}, 2),
        ({"garbage": True}, 2),
        ({"status": 400}, 1),
        ({"status": 401}, 1),
    ],
    ids=str,
)
async def test_what_does_not_pass_ends_in_the_tiers_text(
    asking: Asking, orders: dict[str, Any], calls: int
) -> None:
    asking.script(**orders)

    answer = await asking.ask()

    assert (answer.text, answer.kind) == ("Sorry, not now.", "fallback")
    assert answer.backend == "fallback"
    assert asking.asked() == calls
    assert [(row[1], row[3]) for row in stored()] == [("Sorry, not now.", "fallback")]


async def test_a_backend_that_is_too_slow_ends_in_the_tiers_text(
    asking: Asking,
) -> None:
    asking.script(delay_ms=3_000)
    asking.set(timeout_s=0.2)

    answer = await asking.ask()

    assert (answer.text, answer.finish_reason) == ("Sorry, not now.", "TimeoutError")
    assert asking.asked() == 2


async def test_a_backend_that_stalls_in_the_middle_is_too_slow_as_well(
    asking: Asking,
) -> None:
    asking.script(reply="a b c d e f", chunk_delay_ms=200)
    asking.set(timeout_s=0.5)

    assert (await asking.ask()).finish_reason == "TimeoutError"


async def test_a_backend_that_nobody_serves_ends_in_the_tiers_text(
    asking: Asking,
) -> None:
    asking.set(base_url="http://127.0.0.1:1/v1")

    answer = await asking.ask()

    assert (answer.text, answer.finish_reason) == (
        "Sorry, not now.",
        "UnreachableError",
    )


async def test_a_tier_without_a_route_gets_the_common_text(asking: Asking) -> None:
    asking.routes = ()

    answer = await asking.ask()

    assert (answer.text, answer.kind, asking.asked()) == (FALLBACK_TEXT, "fallback", 0)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("a\x00b", "a\N{SYMBOL FOR NULL}b"),
        ("half a pair \ud800!", "half a pair ?!"),
    ],
    ids=["NUL", "surrogate"],
)
async def test_what_the_database_cannot_hold_is_made_visible_and_not_lost(
    asking: Asking, said: str, kept: str
) -> None:
    asking.script(reply=said)

    answer = await asking.ask(text=f"{asking.word} {said.replace(chr(0xD800), '')}")

    assert answer.text == kept
    assert asking.asked() == 1
    [(_, text, _, kind, _, messages, _)] = stored()
    assert (text, kind) == (kept, "reply")
    assert "\x00" not in messages[1]["text"]


async def test_an_empty_answer_is_an_answer(asking: Asking) -> None:
    """It is the output guard that gives it to people."""
    asking.script(reply="")

    assert (await asking.ask()).kind == "reply"


@pytest.mark.parametrize(
    "chunks",
    [
        ["null"],
        ["[]"],
        ['"text"'],
        ['{"choices": null}'],
        ['{"choices": [null]}'],
        ['{"choices": [{}]}'],
        ['{"choices": [{"delta": null}]}'],
        ['{"choices": [{"delta": {"content": 5}, "finish_reason": "stop"}]}'],
        ['{"choices": [{"delta": {"content": {"a": 1}}, "finish_reason": "stop"}]}'],
        ['{"error": {"message": "no"}}'],
        ["{not json"],
        [],
    ],
    ids=str,
)
async def test_garbage_of_any_kind_ends_in_the_tiers_text(
    asking: Asking, chunks: list[str]
) -> None:
    async with saying(chunks) as url:
        asking.set(base_url=url)

        answer = await asking.ask()

    assert (answer.text, answer.kind) == ("Sorry, not now.", "fallback")


async def test_names_that_are_too_long_for_the_database_do_not_lose_the_answer(
    asking: Asking,
) -> None:
    chunk = {
        "model": "m" * 5_000 + "\x00",
        "choices": [{"delta": {"content": "Yes."}, "finish_reason": "f\x00" * 500}],
    }
    async with saying([json.dumps(chunk)]) as url:
        asking.set(base_url=url)

        answer = await asking.ask()

    assert (answer.text, answer.kind) == ("Yes.", "reply")


@asynccontextmanager
async def saying(chunks: list[str]) -> AsyncIterator[str]:
    """A server that answers everything with these pieces of a stream."""
    body = "".join(f"data: {chunk}\n\n" for chunk in [*chunks, "[DONE]"]).encode()
    async with Server(ok(body)) as server:
        yield server.url


async def test_a_database_that_is_away_makes_the_model_unavailable_and_asks_nobody(
    asking: Asking,
) -> None:
    away = Database("host=127.0.0.1 port=1", max_size=1)
    away._pool.timeout = 0.2
    await away.open()
    asking.port = BackendModel(
        away, lambda: ControlState(routes=asking.routes), make_masker()
    )

    with pytest.raises(UnavailableError, match="PostgreSQL"):
        await asking.ask()

    await asking.port.close()
    await away.close()
    assert asking.asked() == 0
