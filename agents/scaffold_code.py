"""The code that a new agent and its test start with, formatted as ruff would."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args, get_origin

import msgspec

from agents import events, topics
from agents.agent import Answer
from guardrails.verdicts import Verdict

Struct = type[msgspec.Struct]

WIDTH = 88
FILL_IN = "  # fill in"
# A guard that writes one of these sends what its rules hit; any other gets what passes.
HELD = {topics.RESPONSES_FLAGGED, topics.USER_BLOCKED, *topics.ALL_PENDING}

# Their text is what a user wrote; that of any other contract is what a user may get.
ASKED: set[Struct] = {
    events.UserMessage,
    events.CleanedMessage,
    events.BlockedMessage,
    events.ModelRequest,
}

Imports = dict[str, set[str]]


class NoExampleError(Exception):
    """A field of a contract that no example value is known for."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants a new agent to be."""

    name: str
    kind: Literal["guard", "router", "model"]
    reads: str
    writes: str
    package: str

    @property
    def module(self) -> str:
        return self.name.replace("-", "_")

    @property
    def workflow(self) -> str:
        return self.package.rpartition(".")[2].replace("_", "-")

    @property
    def passes_on(self) -> bool:
        """Tell whether a guard writes what its rules let pass."""
        return self.writes not in HELD

    @property
    def direction(self) -> str:
        return "input" if self.takes in ASKED else "output"

    @property
    def takes(self) -> Struct:
        return topics.contract_of(self.reads)

    @property
    def gives(self) -> Struct:
        return topics.contract_of(self.writes)


def imports(names: Mapping[str, Iterable[str]]) -> list[str]:
    """Return import lines of one section, sorted."""
    lines = []
    for module in sorted(names):
        members = sorted(names[module], key=_import_order)
        lines += wrap(f"from {module} import ", members, brackets=("(", ")"))
    return lines


def wrap(
    head: str, items: list[str], *, brackets: tuple[str, str], tail: str = ""
) -> list[str]:
    """Return one line if it fits, else one line each. An import needs brackets only then."""
    opening, closing = brackets
    is_import = head.startswith("from ")
    line = ", ".join(items)
    line = f"{head}{line}" if is_import else f"{head}{opening}{line}{closing}{tail}"
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(head) - len(head.lstrip()))
    inside = [f"{indent}    {item}," for item in items]
    return [f"{head}{opening}", *inside, f"{indent}{closing}{tail}"]


def topic_code(topic: str) -> str:
    """Return how code says a topic: by its constant, if the register has one."""
    for constant, value in vars(topics).items():
        if constant.isupper() and value == topic:
            return f"topics.{constant}"
    return f'"{topic}"'


def tuple_code(field: str, items: list[str]) -> list[str]:
    if len(items) == 1:
        return [f"    {field}=({items[0]},),"]
    return wrap(f"    {field}=", items, brackets=("(", ")"), tail=",")


def made_of(plan: Plan, contract: Struct) -> list[tuple[str, str]]:
    """Return the fields that code gives a contract, each from where the plan can take it."""
    made = []
    for field in msgspec.structs.fields(contract):
        code = _reply(plan, contract, field.name) or _source(
            plan, field.name, field.type
        )
        is_passed = plan.kind == "guard" and plan.passes_on and contract is plan.gives
        if code == "message.text" and is_passed:
            code = "verdict.redacted or message.text"
        if not code and field.required:
            code = f"{example(field.type)},{FILL_IN}"
        if code:
            made.append((field.name, code))
    return made


def _reply(plan: Plan, contract: Struct, name: str) -> str:
    """A question's own text is nothing to answer it with."""
    answers = name == "text" and contract not in ASKED and plan.takes in ASKED
    return "ctx.fallback_text(message.tier)" if answers and plan.kind != "model" else ""


def _source(plan: Plan, name: str, kind: Any) -> str:
    if plan.kind == "guard" and name in {"verdict", "team"}:
        return {"verdict": "verdict", "team": 'verdict.team or "general"'}[name]
    if plan.kind == "model" and types_of(Answer).get(name) == kind:
        return f"answer.{name}"
    taken = types_of(plan.takes)
    if taken.get(name) == kind:
        return f"message.{name}"
    stands_for = {"turn_id": "event.id", "question": "message.text"}
    return stands_for.get(name, "") if name == "turn_id" or "text" in taken else ""


def call(head: str, fields: list[tuple[str, str]], indent: int, tail: str) -> list[str]:
    """Return a call with one keyword a line."""
    space = " " * indent
    inside = [
        f"{space}    {name}={code}" + ("" if code.endswith(FILL_IN) else ",")
        for name, code in fields
    ]
    return [f"{space}{head}(", *inside, f"{space}){tail}"]


def types_of(contract: Struct) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(contract)}


def example(kind: Any, text: str = "") -> str:
    """Return code of a value of the type; a verdict made up is never a pass."""
    simple = {str: f'"{text}"', int: "0", float: "0.0", bool: "False"}
    if kind in simple:
        return simple[kind]
    if kind is Verdict:
        return 'Verdict(action="escalate", error="nothing was checked")'
    if get_origin(kind) is Literal:
        return f'"{get_args(kind)[0]}"'
    if type(None) in get_args(kind):
        return "None"
    empty = {tuple: "()", dict: "{}", list: "[]"}.get(get_origin(kind) or kind)
    if empty is None:
        raise NoExampleError(f"there is no example of {kind}")
    return empty


def add_contract(found: Imports, contract: Struct) -> None:
    found.setdefault(contract.__module__, set()).add(contract.__name__)


def add_verdict(found: Imports, code: Iterable[str]) -> None:
    if any("Verdict(" in line for line in code):
        found["guardrails.verdicts"] = {"Verdict"}


def _import_order(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)
