"""Idempotency-Key: the same request again gets the first answer, and does nothing."""

import hashlib
from collections.abc import Callable
from typing import Annotated, Any

from ninja import Header, Schema, Status

from controlplane.api import actions
from controlplane.api.auth import TokenRequest
from controlplane.api.models import KeptAnswer
from controlplane.api.problems import Problem

HEADER = "Idempotency-Key"
MAX_CHARS = 100
Key = Annotated[
    str,
    Header(
        alias=HEADER,
        pattern=f"^[!-~]{{0,{MAX_CHARS}}}$",
        description="Optional. For 24 h the same request with the same key gets the first answer.",
    ),
]

Answer = Status[Any]
Keep = Callable[[Answer], None]


class Once:
    """One request under its key. An act calls keep() in its transaction, or not at all.

    What changed nothing keeps nothing: after a refusal the same key may be tried again.
    """

    def __init__(self, request: TokenRequest, key: str, body: Schema) -> None:
        self._token = request.auth
        self._key = key
        sent = f"{request.method} {request.path}\n{body.model_dump_json()}"
        self._sha256 = hashlib.sha256(sent.encode()).hexdigest()
        self._row: KeptAnswer | None = None

    def answer(self, act: Callable[[Keep], Answer]) -> Answer:
        """Return what was answered, or else act. Of two at once, both return the first's answer."""
        if not self._key:
            return act(_keep_nothing)
        kept = self._kept()
        if kept is not None:
            return kept
        try:
            return act(self._keep)
        except (Problem, actions.KeyTakenError):
            kept = self._kept()
            if kept is None:
                raise
            return kept

    def _kept(self) -> Answer | None:
        rows = KeptAnswer.objects.fresh().filter(token=self._token, key=self._key)
        row = rows.first()
        if row is None:
            return None
        if row.request_sha256 != self._sha256:
            detail = f"This {HEADER} came before with another request."
            raise Problem(409, detail, code="idempotency_key_reused")
        return Status(row.status, row.body)

    def _keep(self, answer: Answer) -> None:
        body = answer.value.model_dump(mode="json")
        if self._row is not None:
            actions.change_answer(self._row, status=answer.status_code, body=body)
            return
        self._row = actions.keep_answer(
            self._token,
            key=self._key,
            request_sha256=self._sha256,
            status=answer.status_code,
            body=body,
        )


def _keep_nothing(_: Answer) -> None:
    """A request without a key may be repeated, and then acts again."""
