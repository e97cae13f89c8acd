"""The test that a new agent starts with."""

import msgspec

from agents import topics
from agents.scaffold_code import (
    Imports,
    Plan,
    add_contract,
    add_verdict,
    call,
    example,
    imports,
    topic_code,
    types_of,
)


def code_of_test(plan: Plan) -> str:
    """Return the test's module; it passes as it is written."""
    message = _message(plan)
    body = _BODIES[plan.kind](plan)
    lines = [
        f'"""What {plan.name} sends, and when."""',
        "",
        *_outside(plan),
        *imports(_imports(plan, [*message, *body])),
        "",
        *message,
        *body,
    ]
    return "\n".join(lines) + "\n"


def _outside(plan: Plan) -> list[str]:
    if plan.kind == "model":
        return ["from collections.abc import Sequence", ""]
    return ["import msgspec", ""] if plan.kind == "guard" else []


def _imports(plan: Plan, code: list[str]) -> Imports:
    names: Imports = {
        f"agents.{plan.package}": {plan.module},
        "agents.trial": {"make_context", "make_event"},
        "agents.work": {"outgoing"},
    }
    if any("topics." in line for line in code):
        names["agents"] = {"topics"}
    if plan.kind == "guard":
        names["guardrails.rules"] = {"Rule", "RuleSet"}
    if plan.kind == "model":
        names["agents.agent"] = {"Answer", "Said"}
    add_contract(names, plan.takes)
    add_verdict(names, code)
    return names


def _message(plan: Plan) -> list[str]:
    fields = [
        (field.name, example(field.type, text=field.name.replace("_", " ")))
        for field in msgspec.structs.fields(plan.takes)
        if field.required
    ]
    return call(f"MESSAGE = {plan.takes.__name__}", fields, 0, "")


def _router(plan: Plan) -> list[str]:
    return [
        "",
        "",
        "def test_what_it_reads_is_sent_on() -> None:",
        f"    event = make_event({topic_code(plan.reads)}, MESSAGE)",
        "",
        f"    sends = {plan.module}.handle(event, make_context())",
        "",
        f"    [record] = outgoing({plan.module}.AGENT, event, sends)",
        f"    assert record.topic == {topic_code(plan.writes)}",
    ]


def _guard(plan: Plan) -> list[str]:
    written = f"[{topic_code(plan.writes)}]"
    passes, hit = (written, "[topics.PENDING]") if plan.passes_on else ("[]", written)
    return [
        *_rule(plan),
        "",
        "",
        "async def topics_for(text: str) -> list[str]:",
        "    message = msgspec.structs.replace(MESSAGE, text=text)",
        f"    event = make_event({topic_code(plan.reads)}, message)",
        "    ctx = make_context(RuleSet((RULE,)))",
        f"    sends = [sent async for sent in {plan.module}.handle(event, ctx)]",
        f"    records = outgoing({plan.module}.AGENT, event, sends)",
        "    return [record.topic for record in records]",
        "",
        "",
        "async def test_what_no_rule_hits() -> None:",
        f'    assert await topics_for("A car.") == {passes}',
        "",
        "",
        "async def test_what_a_rule_hits() -> None:",
        f'    assert await topics_for("A unicorn.") == {hit}',
    ]


def _rule(plan: Plan) -> list[str]:
    fields = {
        "id": '"no-unicorns"',
        "name": '"No unicorns"',
        "direction": f'"{plan.direction}"',
        "kind": '"terms"',
        "action": '"escalate"',
        "workflows": f'("{plan.workflow}",)',
        "terms": '("unicorn",)',
        "team": '"general"',
    }
    return call("RULE = Rule", list(fields.items()), 0, "")


def _model(plan: Plan) -> list[str]:
    return [
        *_PARROT,
        "",
        "",
        "async def test_the_models_answer_is_sent_on() -> None:",
        f"    event = make_event({topic_code(plan.reads)}, MESSAGE)",
        "    ctx = make_context(model=Parrot())",
        "",
        f"    sends = [sent async for sent in {plan.module}.handle(event, ctx)]",
        "",
        f"    [record] = outgoing({plan.module}.AGENT, event, sends)",
        f"    assert record.topic == {topic_code(plan.writes)}",
        *_answered(plan),
    ]


def _answered(plan: Plan) -> list[str]:
    has_text = types_of(topics.contract_of(plan.writes)).get("text") is str
    return ["    assert MESSAGE.text.upper().encode() in record.value"] * has_text


_PARROT = [
    "",
    "",
    "class Parrot:",
    '    """Says what it was told, in capitals."""',
    "",
    "    async def answer(",
    "        self, request_id: str, *, tier: str, messages: Sequence[Said]",
    "    ) -> Answer:",
    "        return Answer(",
    "            text=messages[-1].text.upper(),",
    '            backend="test",',
    '            model="parrot",',
    '            finish_reason="stop",',
    "            latency_ms=1.0,",
    "        )",
]
_BODIES = {"guard": _guard, "model": _model, "router": _router}
