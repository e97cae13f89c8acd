"""The contracts as documents for others: JSON Schemas of the payloads, and an AsyncAPI of it all."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from agents.asyncapi import describe
from agents.registry import Declaration
from agents.topics import TOPICS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ASYNCAPI = "asyncapi"

Document = dict[str, Any]


def json_schemas() -> dict[str, Document]:
    """Return a JSON Schema 2020-12 of each contract, by the contract's name."""
    contracts = {t.contract.__name__: t.contract for t in TOPICS.values() if t.contract}
    return {
        name: _plain({"$schema": DIALECT, **msgspec.json.schema(contracts[name])})
        for name in sorted(contracts)
    }


def asyncapi(declarations: Iterable[Declaration]) -> Document:
    """Return an AsyncAPI 3.0 document of all topics, and of who reads and writes them."""
    return _plain(describe(TOPICS.values(), declarations))


def documents(declarations: Iterable[Declaration]) -> dict[str, bytes]:
    """Return every file to export, by its name; the same register always gives the same bytes."""
    found = json_schemas() | {ASYNCAPI: asyncapi(declarations)}
    return {f"{name}.json": _pretty(document) for name, document in found.items()}


def export(folder: Path, declarations: Iterable[Declaration]) -> list[Path]:
    """Write every file; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in documents(declarations).items():
        (folder / name).write_bytes(content)
        written.append(folder / name)
    return written


def load(folder: Path) -> dict[str, Document]:
    """Read what was exported, by name without ending."""
    return {
        path.stem: msgspec.json.decode(path.read_bytes())
        for path in sorted(folder.glob("*.json"))
    }


def _plain(document: Document) -> Document:
    """As it is after a way through JSON: a default of () is []."""
    plain: Document = msgspec.json.decode(msgspec.json.encode(document))
    return plain


def _pretty(document: Document) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
