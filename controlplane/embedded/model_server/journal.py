"""Remembers every request and what was answered, within bounds."""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MAX_ENTRIES = 100_000
MAX_BYTES = 256 * 1024 * 1024
BETWEEN_LOOKS = 0.01
"""Looking through a full journal is slow, so a busy server does it less often."""
SECRET_HEADERS = {
    "authorization",
    "proxy-authorization",
    "cookie",
    "api-key",
    "x-api-key",
}


@dataclass
class Entry:
    number: int
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    question: str = ""
    arrived_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    status: int | None = None
    text: str = ""
    chunks_sent: int = 0
    was_cut: bool = False
    disconnected: bool = False
    finished_at: str | None = None

    def as_json(self) -> dict[str, Any]:
        return vars(self) | {"body": _readable(self.body)}


def _readable(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")


class Journal:
    def __init__(self, data_dir: Path | None = None) -> None:
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._count = 0
        self._changed = asyncio.Event()
        self._file = None
        if data_dir is not None:
            data_dir.mkdir(parents=True, exist_ok=True)
            self._file = (data_dir / "requests.jsonl").open("a", encoding="utf-8")

    def open(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        question: str,
    ) -> Entry:
        """Note a request as soon as it is there, so that a test can see it in progress."""
        self._count += 1
        kept = {
            name: value for name, value in headers.items() if name not in SECRET_HEADERS
        }
        entry = Entry(self._count, method, path, kept, body, question)
        self._entries.append(entry)
        self._bytes += len(body)
        while len(self._entries) > MAX_ENTRIES or self._bytes > MAX_BYTES:
            self._bytes -= len(self._entries.popleft().body)
        self._tell()
        return entry

    def finish(self, entry: Entry) -> None:
        entry.finished_at = datetime.now(UTC).isoformat()
        if self._file is not None:
            self._file.write(json.dumps(entry.as_json()) + "\n")
            self._file.flush()
        self._tell()

    def find(self, match: str = "", *, finished: bool = False) -> list[Entry]:
        return [
            each
            for each in self._entries
            if match in each.question and (each.finished_at or not finished)
        ]

    async def wait_for(
        self, match: str, count: int, *, finished: bool, timeout: float
    ) -> None:
        """Return when there are that many, or when the time is up."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while len(self.find(match, finished=finished)) < count and loop.time() < end:
            try:
                await asyncio.wait_for(self._changed.wait(), end - loop.time())
            except TimeoutError:
                return
            await asyncio.sleep(BETWEEN_LOOKS)

    def clear(self, match: str = "") -> int:
        before = len(self._entries)
        self._entries = deque(
            each for each in self._entries if match not in each.question
        )
        self._bytes = sum(len(each.body) for each in self._entries)
        return before - len(self._entries)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
