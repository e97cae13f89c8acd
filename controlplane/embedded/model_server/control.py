"""The controls of the demo model: its health, its scripts and its memory of requests."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.embedded.model_server import wire
from controlplane.embedded.model_server.journal import Journal
from controlplane.embedded.model_server.scored import Scorers
from controlplane.embedded.model_server.scripts import (
    ScriptBook,
    ScriptError,
    parse_script,
)
from controlplane.embedded.model_server.wire import HttpError, Request, Response

LONGEST_WAIT_MS = 60_000
MOST_LISTED = 1_000


def allow(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise HttpError(405, f"{request.method} is not allowed at {request.path}.")


@dataclass(frozen=True)
class Controls:
    book: ScriptBook
    journal: Journal
    scorers: Scorers

    async def handle(self, request: Request) -> Response:
        match request.path:
            case "/healthz":
                allow(request, "GET")
                await self.scorers.load()
                return wire.json_response({"status": "ok", "is_demo_model": True})
            case "/control/script":
                return self._scripts(request)
            case "/control/requests":
                return await self._requests(request)
        raise HttpError(404, f"There is nothing at {request.path}.")

    def _scripts(self, request: Request) -> Response:
        allow(request, "GET", "POST", "DELETE")
        if request.method == "DELETE":
            return wire.json_response(
                {"cleared": self.book.clear(request.query.get("match"))}
            )
        if request.method == "POST":
            try:
                self.book.add(parse_script(request.body))
            except ScriptError as error:
                raise HttpError(400, str(error)) from None
        status = 201 if request.method == "POST" else 200
        return wire.json_response({"scripts": self.book.listing()}, status)

    async def _requests(self, request: Request) -> Response:
        allow(request, "GET", "DELETE")
        match = request.query.get("match", "")
        if request.method == "DELETE":
            return wire.json_response({"cleared": self.journal.clear(match)})
        finished = request.query.get("finished") == "1"
        if "at_least" in request.query:
            wait_ms = min(number(request.query, "timeout_ms", 5_000), LONGEST_WAIT_MS)
            wanted = number(request.query, "at_least", 1)
            await self.journal.wait_for(
                match, wanted, finished=finished, timeout=wait_ms / 1000
            )
        found = self.journal.find(match, finished=finished)
        latest = deque(found, number(request.query, "limit", MOST_LISTED))
        listed = [each.as_json() for each in latest]
        return wire.json_response({"total": len(found), "requests": listed})


def number(query: Mapping[str, str], name: str, fallback: int) -> int:
    given = query.get(name, str(fallback))
    if not (given.isascii() and given.isdigit()):
        raise HttpError(400, f"{name} must be a whole number.")
    return int(given)
