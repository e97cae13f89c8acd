"""What a check of one text came to: part of every contract that a guard writes."""

from typing import Literal

import msgspec

Action = Literal["allow", "tag", "block", "replace", "escalate"]
Severity = Literal["low", "medium", "high"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One hit of one rule. start and end are code points of the text that was checked."""

    rule: str
    name: str
    version: int
    kind: str
    action: Action
    severity: Severity
    start: int
    end: int
    said: str
    number: float | None = None
    limit: float | None = None
    team: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The action that won, and every finding behind it. An error is never an allow.

    reason: why it won, where no rule says so.
    """

    action: Action
    findings: tuple[Finding, ...] = ()
    ruleset_hash: str = ""
    reply: str = ""
    team: str = ""
    error: str = ""
    reason: str = ""


def why(verdict: Verdict) -> str:
    """Return one sentence for the person who decides: the number first, where there is one."""
    if verdict.error:
        return f"Not checked: {verdict.error}"
    if verdict.reason:
        return verdict.reason
    winning = [hit for hit in verdict.findings if hit.action == verdict.action]
    if not winning:
        return "Held for a person"
    hit = winning[0]
    if hit.kind != "threshold":
        return f"{hit.name}: “{hit.said}”"
    if hit.number is None:
        return f"{hit.name}: a value that cannot be read, “{hit.said}”"
    return f"{hit.name}: {hit.number:g} over {hit.limit:g}, “{hit.said}”"
