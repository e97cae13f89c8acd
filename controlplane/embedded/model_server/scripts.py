"""Orders to misbehave: what to do, for which requests and how often."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_type_hints

LOWEST_ERROR = 400
HIGHEST_ERROR = 599
ENDPOINTS = ("chat", "embeddings", "moderations")


class ScriptError(ValueError):
    """A script that cannot be obeyed."""


@dataclass(frozen=True, kw_only=True)
class Script:
    match: str | None = None
    model: str | None = None
    endpoint: str = "chat"
    times: int | None = None
    reply: str | None = None
    replies: list[str] = field(default_factory=list)
    echo: bool = False
    answer: str | None = None
    confidence: float | None = None
    delay_ms: float | None = None
    chunk_delay_ms: float | None = None
    status: int | None = None
    retry_after: float | None = None
    break_stream_after: int | None = None
    garbage: bool = False
    finish_reason: str | None = None
    scores: dict[str, float] | None = None

    def fits(self, question: str, model: str, endpoint: str = "chat") -> bool:
        return (
            self.endpoint == endpoint
            and (self.match or "") in question
            and self.model in (None, model)
        )


TYPES = get_type_hints(Script)


def parse_script(text: bytes | str) -> Script:
    """Read a script from JSON; an unknown or wrong field is refused, not ignored."""
    try:
        given = json.loads(text)
    except ValueError:
        raise ScriptError("The script is not JSON.") from None
    if not isinstance(given, dict):
        raise ScriptError("The script is not a JSON object.")
    if unknown := given.keys() - {each.name for each in fields(Script)}:
        raise ScriptError(f"Unknown fields: {', '.join(sorted(unknown))}.")
    for name, value in given.items():
        if not _is_of(TYPES[name], value):
            raise ScriptError(f"The field {name} has the wrong type.")
    return _checked(given)


def _is_of(wanted: Any, value: Any) -> bool:
    if wanted == list[str]:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if wanted == dict[str, float] | None:
        return isinstance(value, dict) and all(
            isinstance(each, int | float) for each in value.values()
        )
    if isinstance(value, bool):
        return wanted is bool
    if wanted == float | None and isinstance(value, int):
        return True
    return isinstance(value, wanted)


def _checked(given: Mapping[str, Any]) -> Script:
    script = Script(**given)
    if script.status is not None and not LOWEST_ERROR <= script.status <= HIGHEST_ERROR:
        raise ScriptError("The status is not an error's: 400 to 599.")
    if script.endpoint not in ENDPOINTS:
        raise ScriptError(f"The endpoint is none of {', '.join(ENDPOINTS)}.")
    counts = (
        script.times,
        script.delay_ms,
        script.chunk_delay_ms,
        script.break_stream_after,
    )
    if any(count is not None and count < 0 for count in counts):
        raise ScriptError("A number is below zero.")
    return script


@dataclass
class _Standing:
    script: Script
    used: int = 0

    @property
    def is_over(self) -> bool:
        return self.script.times is not None and self.used >= self.script.times


class ScriptBook:
    """The scripts in force. The oldest that fits is obeyed, one with a match before one without."""

    def __init__(self) -> None:
        self._standing: list[_Standing] = []

    def add(self, script: Script) -> None:
        self._standing.append(_Standing(script))

    def clear(self, match: str | None = None) -> int:
        """Forget the scripts with exactly this match, or all; say how many."""
        before = len(self._standing)
        kept = [
            each for each in self._standing if match not in (None, each.script.match)
        ]
        self._standing = kept
        return before - len(kept)

    def take(
        self, question: str, model: str, endpoint: str = "chat"
    ) -> tuple[Script, int] | None:
        """Use up one turn of the script that fits: the script, and how often it was used before."""
        fitting = [
            each
            for each in self._standing
            if not each.is_over and each.script.fits(question, model, endpoint)
        ]
        if not fitting:
            return None
        chosen = min(fitting, key=lambda each: not each.script.match)
        chosen.used += 1
        return chosen.script, chosen.used - 1

    def listing(self) -> list[dict[str, Any]]:
        return [vars(each.script) | {"used": each.used} for each in self._standing]
