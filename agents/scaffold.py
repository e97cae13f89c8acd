"""Writes a new agent, its test, and its line in the registry."""

import keyword
import re
from pathlib import Path

from agents import topics
from agents.scaffold_agent import agent_code
from agents.scaffold_code import WIDTH, NoExampleError, Plan, types_of
from agents.scaffold_tests import code_of_test

# What it sends is kept for people to look at, and delivered to nobody.
READS, WRITES, PACKAGE = topics.RESPONSES_RAW, topics.RESPONSES_FLAGGED, "chat"
REGISTRY = "agents/registry.py"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PACKAGE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_ENTRY = re.compile(r'    "([a-z0-9-]+)": \(\s*"([a-z0-9-]+)",')
NAME_MAX = 40


class ScaffoldError(Exception):
    """The agent cannot be written. Says why."""


def create(root: Path, plan: Plan) -> list[Path]:
    """Write the files below root and return them. Nothing is written if anything is wrong."""
    text = (root / REGISTRY).read_text()
    _check_name(plan, text)
    _check_topics(plan)
    files = _files(plan)
    for name in files:
        if (root / name).exists():
            raise ScaffoldError(f"{name} exists already.")
    for init in _missing_packages(root, plan):
        init.parent.mkdir(parents=True, exist_ok=True)
        init.touch()
    for name, content in files.items():
        (root / name).write_text(content)
    (root / REGISTRY).write_text(_with_entry(text, plan))
    return [*map(Path, files), Path(REGISTRY)]


def _files(plan: Plan) -> dict[str, str]:
    folder = plan.package.replace(".", "/")
    try:
        return {
            f"agents/{folder}/{plan.module}.py": agent_code(plan),
            f"tests/agents/test_{plan.module}.py": code_of_test(plan),
        }
    except NoExampleError as error:
        raise ScaffoldError(f"The agent cannot be written: {error}.") from error


def _check_name(plan: Plan, registry_text: str) -> None:
    entries = _ENTRY.findall(registry_text)
    if not _NAME.fullmatch(plan.name) or len(plan.name) > NAME_MAX:
        raise ScaffoldError(
            f"{plan.name!r} is no name of an agent: lower-case letters and digits, with "
            f"single dashes between words, at most {NAME_MAX} characters."
        )
    if keyword.iskeyword(plan.module):
        raise ScaffoldError(f"{plan.name!r} is a word of Python's own.")
    if plan.name in {name for name, _ in entries}:
        raise ScaffoldError(f"There is an agent {plan.name!r} already.")
    if plan.name in {"all", *(workflow for _, workflow in entries)}:
        raise ScaffoldError(f"{plan.name!r} means several agents already.")
    if not _PACKAGE.fullmatch(plan.package) or _names_a_module(plan.package):
        raise ScaffoldError(f"{plan.package!r} is no package for agents.")


def _names_a_module(package: str) -> bool:
    """Tell whether a part is a word of Python's, or a module of the runtime's."""
    first = package.partition(".")[0]
    is_module = Path(__file__).with_name(f"{first}.py").exists()
    return is_module or any(map(keyword.iskeyword, package.split(".")))


def _check_topics(plan: Plan) -> None:
    for topic in (plan.reads, plan.writes):
        if topic not in topics.TOPICS:
            raise ScaffoldError(f"There is no topic {topic!r} in agents/topics.py.")
        if topics.TOPICS[topic].contract is None:
            raise ScaffoldError(
                f"{topic} has no contract, so no agent reads or writes."
            )
    may_deliver = plan.kind == "guard" and plan.writes == topics.RESPONSES_FINAL
    if topics.TOPICS[plan.writes].writers == "platform" and not may_deliver:
        raise ScaffoldError(
            f"{plan.writes} is the platform's own: what reaches people is checked by a "
            "guard or decided by a person."
        )
    if plan.reads == plan.writes:
        raise ScaffoldError(f"It would answer itself on {plan.reads} for ever.")
    if plan.kind != "router" and not {"text", "tier"} <= types_of(plan.takes).keys():
        raise ScaffoldError(
            f"A {plan.kind} needs a text and a tier, which {plan.reads} does not carry."
        )


def _missing_packages(root: Path, plan: Plan) -> list[Path]:
    parts = plan.package.split(".")
    folders = [f"agents/{'/'.join(parts[: n + 1])}" for n in range(len(parts))]
    inits = [root / folder / "__init__.py" for folder in (*folders, "tests/agents")]
    return [path for path in inits if not path.exists()]


def _with_entry(text: str, plan: Plan) -> str:
    """Put the agent after the latest of its workflow, or after all."""
    table = text.index("AGENTS = {")
    end = text.index("\n}\n", table) + 1
    of_workflow = [
        text.index("\n", text.index("),", match.start())) + 1
        for match in _ENTRY.finditer(text, table, end)
        if match[2] == plan.workflow
    ]
    place = max(of_workflow, default=end)
    return text[:place] + _entry(plan) + text[place:]


def _entry(plan: Plan) -> str:
    target = f"agents.{plan.package}.{plan.module}:AGENT"
    line = f'    "{plan.name}": ("{plan.workflow}", "{target}"),'
    if len(line) <= WIDTH:
        return f"{line}\n"
    return (
        f'    "{plan.name}": (\n        "{plan.workflow}",\n'
        f'        "{target}",\n    ),\n'
    )
