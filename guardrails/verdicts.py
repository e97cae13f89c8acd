"""What a check of one text came to: part of every contract that a guard writes."""

from typing import Literal

import msgspec

Action = Literal["allow", "tag", "block", "replace", "escalate"]
Severity = Literal["low", "medium", "high"]

PASSING = frozenset({"allow", "tag"})
_WITH_NUMBERS = frozenset({"threshold"})


def side(number: float | None, limit: float | None) -> str:
    """Say on which side of its limit a number is: what an allow-list hits is under it."""
    if number is None or limit is None:
        return ""
    return "over" if number > limit else "under" if number < limit else "at"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One hit of one rule. start and end are code points of the text that was checked.

    said: what stands there; of personal data only which kind it is. number: what was held against the limit; a hit
    without a place has none of the text. label: the type of personal data. because: the example that the text is
    nearest to, or what a judge says. redacts: this place is replaced in what passes; to readers of earlier releases it is a tag.
    """

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
    label: str = ""
    because: str = ""
    redacts: bool = False

    @property
    def side(self) -> str:
        return side(self.number, self.limit)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The action that won, and every finding behind it. An error is never an allow.

    reason: why it won, where no rule says so. redacted: the text with its places replaced, if a rule that acts redacts.
    shadow: what rules found that do not act here, and shadow_error what went wrong with them.
    """

    action: Action
    findings: tuple[Finding, ...] = ()
    ruleset_hash: str = ""
    reply: str = ""
    team: str = ""
    error: str = ""
    reason: str = ""
    redacted: str = ""
    shadow: tuple[Finding, ...] = ()
    shadow_error: str = ""


def why(verdict: Verdict) -> str:
    """Return one sentence for the person who decides: the number first, where there is one."""
    if verdict.error:
        return f"Not checked: {verdict.error}"
    if verdict.reason:
        return verdict.reason
    winning = [hit for hit in verdict.findings if hit.action == verdict.action]
    if not winning:
        return "Held for a person"
    return _tell(winning[0])


def _tell(hit: Finding) -> str:
    if not hit.because:
        return _tell_number(hit)
    likeness = ", like" if hit.kind == "topic" else ", because"
    return f"{_tell_number(hit)}{likeness} “{hit.because}”"


def _tell_number(hit: Finding) -> str:
    if hit.number is not None and hit.limit is not None:
        said = f", “{hit.said}”" if hit.said else ""
        return f"{hit.name}: {hit.number:g} {hit.side} {hit.limit:g}{said}"
    if hit.kind in _WITH_NUMBERS and hit.said:
        return f"{hit.name}: a value that cannot be read, “{hit.said}”"
    return f"{hit.name}: “{hit.said}”" if hit.said else hit.name
