"""Answers one chat completion, whole or streamed, and misbehaves as scripted."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controlplane.embedded.model_server import answers, shapes, wire
from controlplane.embedded.model_server.chat_request import ChatRequest, given_values
from controlplane.embedded.model_server.journal import Entry
from controlplane.embedded.model_server.peer import Peer
from controlplane.embedded.model_server.schema_leaves import UnsupportedSchemaError
from controlplane.embedded.model_server.schemas import Facts, fill
from controlplane.embedded.model_server.scripts import Script
from controlplane.embedded.model_server.shapes import Completion

GARBAGE = '{"id": "chatcmpl-demo", "choices": [{"delta": {"content": "'


class CutError(Exception):
    """The script wants the connection cut here."""


@dataclass(frozen=True)
class Exchange:
    """One request on its way: who asks, what, and what the script wants."""

    peer: Peer
    entry: Entry
    chat: ChatRequest
    script: Script
    turn: int
    """How often the script was obeyed before."""
    chunk_delay_ms: float


async def respond(exchange: Exchange, send: Callable[[wire.Response], Any]) -> None:
    """Send what was asked for; raises CutError where the script breaks off."""
    script = exchange.script
    if script.status is not None:
        await send(shapes.failure(script))
        return
    completion = compose(exchange.chat, script, exchange.turn)
    if exchange.chat.streams:
        await _stream(exchange, completion)
    elif script.break_stream_after is not None:
        await _send_half(exchange, completion)
    else:
        exchange.entry.text = completion.text
        await send(_whole(completion, is_garbage=script.garbage))


def compose(chat: ChatRequest, script: Script, turn: int) -> Completion:
    """Choose the text of the reply, scripted or found in the knowledge."""
    text = _scripted_text(chat, script, turn)
    if text is None:
        text = _own_text(chat, script)
    reason = script.finish_reason or "stop"
    words = pieces(text)
    if chat.max_words is not None and len(words) > chat.max_words:
        text = "".join(words[: chat.max_words])
        reason = script.finish_reason or "length"
    return Completion(chat.model, text, reason, chat.prompt_words)


def pieces(text: str) -> list[str]:
    """Cut a text into words that, joined, are the text again."""
    return re.findall(r"\s*\S+(?:\s+$)?|\s+$", text)


def _scripted_text(chat: ChatRequest, script: Script, turn: int) -> str | None:
    if script.echo:
        return "\n".join([*(each.question for each in chat.earlier), chat.question])
    if script.replies:
        return script.replies[min(turn, len(script.replies) - 1)]
    return script.reply


def _own_text(chat: ChatRequest, script: Script) -> str:
    found = answers.answer(chat.question, shown=chat.shown, earlier=chat.earlier)
    text = found.text if script.answer is None else script.answer
    sure = found.confidence if script.answer is None else 1.0
    sure = sure if script.confidence is None else script.confidence
    facts = Facts(text, sure, found.is_known, given_values(chat.question))
    if chat.schema is not None:
        try:
            return json.dumps(fill(chat.schema, facts), ensure_ascii=False)
        except UnsupportedSchemaError as error:
            raise wire.HttpError(
                400, f"Invalid schema for response_format: {error}"
            ) from None
    if chat.wants_json:
        return json.dumps({"answer": text, "confidence": sure}, ensure_ascii=False)
    return text


def _whole(completion: Completion, *, is_garbage: bool) -> wire.Response:
    if is_garbage:
        return wire.Response(200, GARBAGE.encode())
    return wire.json_response(completion.whole())


async def _send_half(exchange: Exchange, completion: Completion) -> None:
    data = wire.encode(wire.json_response(completion.whole()), keeps_alive=False)
    exchange.entry.status = 200
    await exchange.peer.send(data[: -len(data) // 3])
    raise CutError


async def _stream(exchange: Exchange, completion: Completion) -> None:
    peer, script, entry = exchange.peer, exchange.script, exchange.entry
    entry.status = 200
    await peer.send(
        wire.stream_head()
        + _event(completion.delta({"role": "assistant", "content": ""}))
    )
    if script.garbage:
        await peer.send(wire.event(GARBAGE))
    for number, piece in enumerate(pieces(completion.text)):
        if script.break_stream_after == number:
            raise CutError
        await peer.pause(exchange.chunk_delay_ms)
        await peer.send(_event(completion.delta({"content": piece})))
        entry.text += piece
        entry.chunks_sent += 1
    if script.break_stream_after is not None:
        raise CutError
    await peer.send(_ending(completion, includes_usage=exchange.chat.includes_usage))


def _ending(completion: Completion, *, includes_usage: bool) -> bytes:
    events = [_event(completion.delta({}, completion.finish_reason))]
    events += [_event(completion.usage_chunk())] if includes_usage else []
    return b"".join([*events, wire.event("[DONE]"), wire.chunk(b"")])


def _event(payload: dict[str, Any]) -> bytes:
    return wire.event(json.dumps(payload, ensure_ascii=False))
