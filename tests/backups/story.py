"""A backup, what happens after it, and a restore: told by those who lived through it."""

import json
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from django.conf import settings

from agents.admin import Admin
from agents.lags import group_of, reads
from controlplane.backups.catch_up import SINKS
from controlplane.chat import tokens
from tests.e2e.product import Process, Product
from tests.e2e.widget import Frame, Widget
from tests.waiting import wait_for

_UNSETTLED = """
SELECT count(*) FROM chat_turn t LEFT JOIN chat_outcome o ON o.turn_id = t.id
WHERE t.conversation_id = ANY(%s) AND coalesce(o.state, 'open') = 'open'
"""
_RECORDED = """
SELECT topic, partition, max("offset") FROM traces_record
WHERE conversation_id = ANY(%s) GROUP BY topic, partition
"""
RISKY = "I can give you 25 % off today."


@dataclass
class Person:
    """A user: what every page of theirs has shown, and the page that is open."""

    product: Product
    name: str = field(default_factory=lambda: uuid4().hex)
    lines: list[Frame] = field(default_factory=list)
    page: Widget | None = None

    @property
    def token(self) -> str:
        return tokens.issue(self.name, tier="free")

    @property
    def conversation(self) -> str:
        return tokens.read(self.token).conversation_id

    def come(self) -> Widget:
        """Open the page, or have it connect again: it asks for what comes after its lines."""
        after = max((line["seq"] for line in self.lines), default=0)
        self.page = Widget(self.product.socket_url, self.token, after=after)
        return self.page

    def go(self) -> None:
        assert self.page is not None
        self.lines += [f for f in self.page.frames if f["type"] == "message"]
        self.page.close()
        self.page = None

    def ask(self, text: str) -> tuple[str, str]:
        return (self.page or self.come()).ask(text)

    def hears(self, client_id: str) -> str:
        assert self.page is not None
        return str(self.page.answer(client_id, timeout_s=20)["text"])

    def waits(self, trace_id: str) -> None:
        assert self.page is not None
        self.page.status(trace_id, "waiting_for_person")

    def all_lines(self) -> list[tuple[int, str, str]]:
        """What a page that was never open before is shown."""
        with Widget(self.product.socket_url, self.token) as fresh:
            newest = fresh.ready["seq"]
            if newest:
                fresh.until(lambda f: f["type"] == "message" and f["seq"] == newest)
            return [
                (f["seq"], f["role"], f["text"])
                for f in fresh.frames
                if f["type"] == "message"
            ]


def decide(product: Product, client_id: str, **decision: str) -> None:
    """Approve what is held for this question, or decide as it is said."""
    [(turn,)] = product.sql("SELECT id FROM chat_turn WHERE client_id = %s", client_id)
    listed = _api(product, "/api/approvals?limit=200")["items"]
    [held] = [each for each in listed if each["turn_id"] == turn]
    body = {"verdict": "approve", "fingerprint": held["fingerprint"]} | decision
    _api(product, f"/api/approvals/{held['id']}/decision", body)


def _api(product: Product, path: str, body: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(  # noqa: S310
        product.base_url + path,
        json.dumps(body).encode() if body else None,
        {
            "Authorization": f"Bearer {product.env['TOKEN_OF_MIRA']}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return json.load(answer)


def count(product: Product, statement: str, *parameters: object) -> int:
    return int(product.sql(statement, *parameters)[0][0])


def end(*processes: Process) -> None:
    for process in processes:
        process.ask_to_end()
    for process in processes:
        process.end()


def settled(product: Product, people: Iterable[Person]) -> None:
    """Wait until the relay, the gate and the intake are done with all that these people have.

    Other tests have left records in the topics: whose those are does not matter.
    """
    names = [person.conversation for person in people]
    admin = Admin(settings.KAFKA, {group_of(name): reads()[name] for name in SINKS})
    wait_for(
        lambda: (
            not count(
                product,
                "SELECT count(*) FROM runtime_outboxrecord WHERE published_at IS NULL",
            )
        ),
        what="the outbox is empty",
    )
    wait_for(
        lambda: not count(product, _UNSETTLED, names),
        timeout_s=20,
        what="every turn has an outcome",
    )
    wait_for(
        lambda: _have_taken(admin, product.sql(_RECORDED, names)),
        timeout_s=20,
        what="gate and intake are up to date",
    )


def _have_taken(admin: Admin, recorded: list[tuple[Any, ...]]) -> bool:
    ours = {topic for name in SINKS for topic in reads()[name]}
    seen = admin.positions(topics=ours, watched="", window_s=0, timeout_s=5)
    committed = {
        partition: offset
        for offsets in seen.committed.values()
        for partition, offset in offsets.items()
    }
    return all(
        committed.get((topic, number), 0) > offset
        for topic, number, offset in recorded
        if topic in ours
    )


def of_audit(product: Product, action: str) -> list[dict[str, object]]:
    rows = product.sql(
        "SELECT detail::text FROM audit_entry WHERE action = %s ORDER BY id", action
    )
    return [json.loads(row[0]) for row in rows]
