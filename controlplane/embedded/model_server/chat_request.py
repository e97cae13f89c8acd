"""Reads a chat completion request: what was asked, shown and said before."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.embedded.model_server.answers import Turn
from controlplane.embedded.model_server.schema_leaves import Schema
from controlplane.embedded.model_server.schemas import plain_name
from controlplane.embedded.model_server.wire import HttpError

ROLES = {"system", "developer", "user", "assistant", "tool", "function"}


@dataclass(frozen=True)
class ChatRequest:
    model: str
    question: str
    shown: str
    earlier: tuple[Turn, ...]
    prompt_words: int
    streams: bool
    includes_usage: bool
    max_words: int | None
    schema: Schema | None
    wants_json: bool


def parse_chat(body: bytes) -> ChatRequest:
    """Read a request as OpenAI's API would, or say what is wrong with it."""
    given = read_object(body)
    messages = _messages(given.get("messages"))
    model = given.get("model")
    require(isinstance(model, str) and model, "You must provide a model.")
    assert isinstance(model, str)
    require(given.get("n") in (None, 1), "This demo model gives one choice only.")
    wanted = given.get("response_format") or {}
    require(isinstance(wanted, dict), "response_format must be an object.")
    options = given.get("stream_options") or {}
    require(isinstance(options, dict), "stream_options must be an object.")
    return ChatRequest(
        model=model,
        question=last_user_text(messages),
        shown="\n".join(t for role, t in messages if role in ("system", "developer")),
        earlier=_turns(messages),
        prompt_words=sum(len(text.split()) for _, text in messages),
        streams=bool(given.get("stream")),
        includes_usage=bool(options.get("include_usage")),
        max_words=_limit(given),
        schema=_schema(wanted),
        wants_json=wanted.get("type") == "json_object",
    )


def question_of(body: bytes) -> str:
    """The last user message, or nothing if the request cannot be read."""
    try:
        return last_user_text(_messages(read_object(body).get("messages")))
    except HttpError:
        return ""


def given_values(question: str) -> dict[str, Any]:
    """What a message says by name: the top of a JSON object, or "name: value" lines."""
    try:
        said = json.loads(question)
    except (ValueError, RecursionError):
        lines = (line.partition(":") for line in question.splitlines())
        said = {name: value.strip() for name, _, value in lines if value.strip()}
    if not isinstance(said, dict):
        return {}
    return {plain_name(name): each for name, each in said.items() if each is not None}


def last_user_text(messages: list[tuple[str, str]]) -> str:
    return next((text for role, text in reversed(messages) if role == "user"), "")


def require(condition: object, message: str) -> None:
    if not condition:
        raise HttpError(400, message)


def read_object(body: bytes) -> Mapping[str, Any]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise HttpError(
            400, "We could not parse the JSON body of your request."
        ) from None
    require(isinstance(given, dict), "The body must be a JSON object.")
    assert isinstance(given, dict)
    return given


def _messages(given: Any) -> list[tuple[str, str]]:
    require(
        isinstance(given, list) and given, "messages must be a list that is not empty."
    )
    return [_message(each) for each in given]


def _message(given: Any) -> tuple[str, str]:
    known = isinstance(given, dict) and given.get("role") in ROLES
    require(known, "Each message needs a role that is known.")
    return given["role"], _text(given.get("content"))


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    require(
        isinstance(content, list), "The content of a message must be text or parts."
    )
    parts = [
        each
        for each in content
        if isinstance(each, dict) and each.get("type") == "text"
    ]
    return "\n".join(str(part.get("text", "")) for part in parts)


def _turns(messages: list[tuple[str, str]]) -> tuple[Turn, ...]:
    """Pair each earlier question with the answer that it got."""
    spoken = [pair for pair in messages if pair[0] in ("user", "assistant")]
    pairs = itertools.pairwise(spoken)
    return tuple(
        Turn(question, answer)
        for (asker, question), (answerer, answer) in pairs
        if (asker, answerer) == ("user", "assistant")
    )


def _limit(given: Mapping[str, Any]) -> int | None:
    limit = given.get("max_completion_tokens") or given.get("max_tokens")
    require(
        limit is None or isinstance(limit, int), "max_tokens must be a whole number."
    )
    return limit


def _schema(wanted: Mapping[str, Any]) -> Schema | None:
    if wanted.get("type") != "json_schema":
        return None
    named = wanted.get("json_schema")
    schema = named.get("schema") if isinstance(named, dict) else None
    require(isinstance(schema, dict), "response_format.json_schema.schema is missing.")
    return schema
