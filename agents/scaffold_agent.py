"""The file that a new agent starts with."""

from agents.events import PendingResponse
from agents.scaffold_code import (
    WIDTH,
    Imports,
    Plan,
    add_contract,
    add_verdict,
    call,
    imports,
    made_of,
    topic_code,
    tuple_code,
)

ASYNC = {"guard", "model"}  # they wait for what models say


def agent_code(plan: Plan) -> str:
    """Return the agent's module."""
    body = [*_handle(plan), "", "", *_declaration(plan)]
    stream = "AsyncIterator" if plan.kind in ASYNC else "Iterator"
    title = plan.name.replace("-", " ").capitalize()
    lines = [
        f'"""{title}: say in one sentence what it decides."""',
        "",
        f"from collections.abc import {stream}",
        "",
        *imports(_imports(plan, body)),
        "",
        *_constants(plan),
        "",
        *body,
    ]
    return "\n".join(lines) + "\n"


def _imports(plan: Plan, body: list[str]) -> Imports:
    names: Imports = {"agents.agent": {"Agent", "Context", "Event", "Send"}}
    if plan.kind == "model":
        names["agents.agent"].add("Said")
        names["agents.cloudevents"] = {"derive_id"}
    if plan.kind == "guard":
        names["agents.checking"] = {"check_now"}
        names["guardrails.context"] = {"Context as About"}
    if any("topics." in line for line in body):
        names["agents"] = {"topics"}
    add_contract(names, plan.takes)
    add_contract(names, plan.gives)
    if any("PendingResponse(" in line for line in body):
        add_contract(names, PendingResponse)
    add_verdict(names, body)
    return names


def _constants(plan: Plan) -> list[str]:
    if plan.kind != "model":
        return []
    return [
        f'NAME = "{plan.name}"',
        'INSTRUCTIONS = "Say here what the model is to do with the text."',
        "",
    ]


def _handle(plan: Plan) -> list[str]:
    body = [
        *_BODIES[plan.kind](plan),
        "    yield Send(",
        f"        {topic_code(plan.writes)},",
        *call(plan.gives.__name__, made_of(plan, plan.gives), 8, ","),
        "    )",
    ]
    uses_message = any("message." in line for line in body)
    return [
        *_signature(plan),
        '    """Say which event it answers, and with what."""',
        *["    message = event.data"] * uses_message,
        *body,
    ]


def _signature(plan: Plan) -> list[str]:
    is_async = plan.kind in ASYNC
    head = "async def handle(" if is_async else "def handle("
    stream = "AsyncIterator" if is_async else "Iterator"
    event = f"event: Event[{plan.takes.__name__}]"
    line = f"{head}{event}, ctx: Context) -> {stream}[Send]:"
    if len(line) <= WIDTH:
        return [line]
    return [head, f"    {event},", "    ctx: Context,", f") -> {stream}[Send]:"]


def _guard(plan: Plan) -> list[str]:
    fields = [
        ("direction", f'"{plan.direction}"'),
        ("tier", "message.tier"),
        ("workflow", f'"{plan.workflow}"'),
        ("trace_id", "event.envelope.trace_id"),
    ]
    check = [
        *call("about = About", fields, 4, ""),
        "    verdict = await check_now(ctx, message.text, about)",
    ]
    if plan.passes_on:
        return [*check, *_hold(plan)]
    return [*check, '    if verdict.action in {"allow", "tag"}:', "        return"]


def _hold(plan: Plan) -> list[str]:
    """What its rules hit waits for a person; nothing is dropped."""
    return [
        '    if verdict.action not in {"allow", "tag"}:',
        *call("pending = PendingResponse", made_of(plan, PendingResponse), 8, ""),
        "        yield Send(topics.pending_topic(verdict.team), pending)",
        "        return",
    ]


def _model(_: Plan) -> list[str]:
    return [
        "    # An answer is stored under its request's id: one of our own, so that another",
        "    # agent's answer to the same event is not taken for ours.",
        "    answer = await ctx.model.answer(",
        '        derive_id(event.id, NAME, "model", 0),',
        "        tier=message.tier,",
        '        messages=[Said("system", INSTRUCTIONS), Said("user", message.text)],',
        "    )",
    ]


def _router(_: Plan) -> list[str]:
    return []


_BODIES = {"guard": _guard, "model": _model, "router": _router}


def _declaration(plan: Plan) -> list[str]:
    writes = [topic_code(plan.writes)]
    if plan.kind == "guard" and plan.passes_on:
        writes.append("*topics.ALL_PENDING")
    name = "NAME" if plan.kind == "model" else f'"{plan.name}"'
    handler = "handle_async" if plan.kind in ASYNC else "handle"
    return [
        "AGENT = Agent(",
        f"    name={name},",
        '    description="Says in one sentence what it does.",',
        f'    kind="{plan.kind}",',
        f'    workflow="{plan.workflow}",',
        *tuple_code("reads", [topic_code(plan.reads)]),
        *tuple_code("writes", writes),
        f"    {handler}=handle,",
        ")",
    ]
