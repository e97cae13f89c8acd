"""The shapes of the OpenAI API that are sent out: completions, chunks, models and errors."""

import itertools
import os
import time
from dataclasses import dataclass, field
from typing import Any

from controlplane.embedded.model_server import wire
from controlplane.embedded.model_server.scripts import Script

MODEL = "interlock-demo"
EMBEDDING_MODEL = "all-MiniLM-L6-v2"
MODERATION_MODEL = "interlock-moderation"
MODELS = (MODEL, EMBEDDING_MODEL, MODERATION_MODEL)
STARTED_AT = int(time.time())
ERROR_TYPES = {401: "authentication_error", 429: "rate_limit_error"}
ERROR_CODES = {404: "not_found", 413: "request_too_large", 429: "rate_limit_exceeded"}
SERVER_ERROR = 500

_numbers = itertools.count(1)


def next_id(kind: str = "chatcmpl") -> str:
    return f"{kind}-demo-{os.getpid()}-{next(_numbers)}"


@dataclass(frozen=True)
class Completion:
    """One reply. Its usage counts words, which is what this model takes for tokens."""

    model: str
    text: str
    finish_reason: str
    prompt_words: int
    id: str = field(default_factory=next_id)
    created: int = field(default_factory=lambda: int(time.time()))

    def usage(self) -> dict[str, int]:
        words = len(self.text.split())
        return {
            "prompt_tokens": self.prompt_words,
            "completion_tokens": words,
            "total_tokens": self.prompt_words + words,
        }

    def whole(self) -> dict[str, Any]:
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": self.text, "refusal": None},
            "logprobs": None,
            "finish_reason": self.finish_reason,
        }
        return self._envelope("chat.completion") | {
            "choices": [choice],
            "usage": self.usage(),
        }

    def delta(
        self, delta: dict[str, str], finish_reason: str | None = None
    ) -> dict[str, Any]:
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": None,
            "finish_reason": finish_reason,
        }
        return self._envelope("chat.completion.chunk") | {"choices": [choice]}

    def usage_chunk(self) -> dict[str, Any]:
        return self._envelope("chat.completion.chunk") | {
            "choices": [],
            "usage": self.usage(),
        }

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "interlock-demo-model",
        }


def model_card(model: str) -> dict[str, Any]:
    return {
        "id": model,
        "object": "model",
        "created": STARTED_AT,
        "owned_by": "interlock",
        "is_demo_model": True,
    }


def model_list() -> dict[str, Any]:
    return {"object": "list", "data": [model_card(model) for model in MODELS]}


def error(status: int, message: str) -> dict[str, Any]:
    fallback = "server_error" if status >= SERVER_ERROR else "invalid_request_error"
    kind = ERROR_TYPES.get(status, fallback)
    details = {
        "message": message,
        "type": kind,
        "param": None,
        "code": ERROR_CODES.get(status),
    }
    return {"error": details}


def failure(script: Script) -> wire.Response:
    """Fail as the script says."""
    assert script.status is not None
    body = error(script.status, script.reply or "The demo model was told to fail.")
    if script.retry_after is None:
        return wire.json_response(body, script.status)
    return wire.json_response(
        body, script.status, retry_after=f"{script.retry_after:g}"
    )
