"""Routes requests to the model, its list of models, its health and its controls."""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.embedded.model_server import control, shapes, wire
from controlplane.embedded.model_server.chat import CutError, Exchange, respond
from controlplane.embedded.model_server.chat_request import parse_chat, question_of
from controlplane.embedded.model_server.control import Controls
from controlplane.embedded.model_server.journal import Entry, Journal
from controlplane.embedded.model_server.peer import ClientGoneError, Peer
from controlplane.embedded.model_server.scored import (
    Inputs,
    Scorers,
    parse_inputs,
    respond_embeddings,
    respond_moderations,
)
from controlplane.embedded.model_server.scripts import (
    Script,
    ScriptBook,
    ScriptError,
    parse_script,
)
from controlplane.embedded.model_server.wire import HttpError, Request, Response

SCRIPT_HEADER = "x-interlock-script"
SCORED: dict[
    str, tuple[str, Callable[[Inputs, Scorers, Script], Awaitable[Response]]]
] = {
    "/v1/embeddings": ("embeddings", respond_embeddings),
    "/v1/moderations": ("moderations", respond_moderations),
}


@dataclass(frozen=True)
class Settings:
    delay_ms: float = 0.0
    chunk_delay_ms: float = 0.0
    data_dir: Path | None = None


@dataclass
class ModelServer:
    settings: Settings
    book: ScriptBook = field(default_factory=ScriptBook)
    scorers: Scorers = field(default_factory=Scorers)
    journal: Journal = field(init=False)

    def __post_init__(self) -> None:
        self.journal = Journal(self.settings.data_dir)
        self.controls = Controls(self.book, self.journal, self.scorers)

    async def serve(self, peer: Peer) -> None:
        """Answer one client's requests until either side hangs up."""
        with contextlib.suppress(ClientGoneError, CutError, ConnectionError):
            try:
                while await self._serve_one(peer):
                    pass
            finally:
                peer.close()

    async def _serve_one(self, peer: Peer) -> bool:
        try:
            request = await wire.read_request(peer.reader)
        except HttpError as error:
            await peer.send(_failure(error))
            return False
        if request is None:
            return False
        await self._dispatch(request, peer)
        return request.keeps_alive

    async def _dispatch(self, request: Request, peer: Peer) -> None:
        send = _sender(peer, request)
        if request.path.startswith("/v1/"):
            await self._record(request, peer, send)
            return
        try:
            response = await self.controls.handle(request)
        except HttpError as error:
            response = wire.json_response(
                shapes.error(error.status, error.message), error.status
            )
        await send(response)

    async def _record(self, request: Request, peer: Peer, send: "Send") -> None:
        """Answer and note what became of it, whatever it is."""
        entry = self.journal.open(
            request.method,
            request.path,
            request.headers,
            request.body,
            question_of(request.body),
        )
        try:
            await self._answer(request, peer, entry, _noting(entry, send))
        except ClientGoneError:
            entry.disconnected = True
            raise
        except CutError:
            entry.was_cut = True
            raise
        finally:
            self.journal.finish(entry)

    async def _answer(
        self, request: Request, peer: Peer, entry: Entry, send: "Send"
    ) -> None:
        try:
            if request.path == "/v1/chat/completions":
                control.allow(request, "POST")
                await self._chat(request, peer, entry, send)
            elif request.path in SCORED:
                control.allow(request, "POST")
                await self._scored(request, peer, send)
            else:
                await send(_models(request))
        except HttpError as error:
            await send(
                wire.json_response(
                    shapes.error(error.status, error.message), error.status
                )
            )

    async def _chat(
        self, request: Request, peer: Peer, entry: Entry, send: "Send"
    ) -> None:
        chat = parse_chat(request.body)
        script, turn = self._script(request, chat.question, chat.model)
        delay = self.settings.delay_ms if script.delay_ms is None else script.delay_ms
        per_chunk = script.chunk_delay_ms
        if per_chunk is None:
            per_chunk = self.settings.chunk_delay_ms
        if delay > 0:
            await peer.pause(delay)
        await respond(Exchange(peer, entry, chat, script, turn, per_chunk), send)

    async def _scored(self, request: Request, peer: Peer, send: "Send") -> None:
        endpoint, respond_scored = SCORED[request.path]
        inputs = parse_inputs(request.body)
        script, _ = self._script(request, inputs.question, inputs.model, endpoint)
        if script.delay_ms:
            await peer.pause(script.delay_ms)
        await send(await respond_scored(inputs, self.scorers, script))

    def _script(
        self, request: Request, question: str, model: str, endpoint: str = "chat"
    ) -> tuple[Script, int]:
        """The header's script goes before those of the book."""
        if SCRIPT_HEADER in request.headers:
            try:
                return parse_script(request.headers[SCRIPT_HEADER]), 0
            except ScriptError as error:
                raise HttpError(400, f"{SCRIPT_HEADER}: {error}") from None
        return self.book.take(question, model, endpoint) or (Script(), 0)


Send = Callable[[Response], Awaitable[None]]


def _sender(peer: Peer, request: Request) -> Send:
    async def send(response: Response) -> None:
        await peer.send(wire.encode(response, keeps_alive=request.keeps_alive))

    return send


def _noting(entry: Entry, send: Send) -> Send:
    async def send_and_note(response: Response) -> None:
        await send(response)
        entry.status = response.status

    return send_and_note


def _failure(error: HttpError) -> bytes:
    response = wire.json_response(
        shapes.error(error.status, error.message), error.status
    )
    return wire.encode(response, keeps_alive=False)


def _models(request: Request) -> Response:
    if request.path == "/v1/models":
        control.allow(request, "GET")
        return wire.json_response(shapes.model_list())
    model = request.path.removeprefix("/v1/models/")
    if model in shapes.MODELS:
        control.allow(request, "GET")
        return wire.json_response(shapes.model_card(model))
    raise HttpError(404, f"There is nothing at {request.path}.")
