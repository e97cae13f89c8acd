"""A moderator who decides over the API on whatever of these clients waits, until told to go home."""

import json
import threading
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError

from tests.e2e.product import Product
from tests.soak.facts import Client, Decided

EVERY_S = 0.5


class Moderator:
    """Approves most answers, rejects every fourth, asks each of the sites in turn."""

    def __init__(
        self, product: Product, ports: list[int], clients: Sequence[Client]
    ) -> None:
        scopes = ("--scope", "approvals:read", "--scope", "approvals:decide")
        self.decided: list[Decided] = []
        self._token = product.manage("create_token", "--user", "mira", *scopes).strip()
        self._ports = ports
        self._clients = clients
        self._asked = 0
        self._going_home = threading.Event()
        self._thread = threading.Thread(target=self._run, name="moderator")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._going_home.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._going_home.wait(EVERY_S):
            with suppress(OSError, HTTPException, TimeoutError):  # the site is away
                ours = {client.conversation_id for client in self._clients}
                for approval in self._call("/api/approvals?state=pending")["items"]:
                    if approval["conversation_id"] in ours:
                        self._decide(approval)

    def _decide(self, approval: dict[str, Any]) -> None:
        verdict = "reject" if len(self.decided) % 4 == 3 else "approve"
        body = {"verdict": verdict, "fingerprint": approval["fingerprint"]}
        if verdict == "reject":
            body |= {"reason": "soak", "text": "We will call you."}
        try:
            self._call(f"/api/approvals/{approval['id']}/decision", body)
        except HTTPError as error:
            if error.code != 409:  # the conversation has gone on: next time
                raise
        else:
            text = body.get("text", approval["text"])
            self.decided.append(
                Decided(
                    approval_id=approval["id"],
                    turn_id=approval["turn_id"],
                    trace_id=approval["trace_id"],
                    verdict=verdict,
                    text=text,
                )
            )

    def _call(self, path: str, body: dict[str, str] | None = None) -> Any:
        self._asked += 1
        port = self._ports[self._asked % len(self._ports)]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}",
            json.dumps(body).encode() if body is not None else None,
            {
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return json.load(answer)
