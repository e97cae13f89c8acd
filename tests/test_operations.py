"""docs/operations.md names every environment variable that the code reads, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane import environment
from tests.e2e.product import ROOT

FOLDERS = ("agents", "controlplane", "guardrails", "moderation")
HELPERS = {"text", "number", "amount", "count", "flag", "names", "words"}
HELPERS |= {"database", "mail_server", "valkey", "kept_secret", "own_secret"}
GETTERS = {"environ.get", "environ.setdefault", "environ.pop", "os.getenv"}
# Whose names are not in the code, and what they can be.
BY_NAME_GIVEN = {
    "agents/backends.py": set[str](),  # a route names the variable of its key
    "controlplane/environment.py": set[str](),  # the helpers themselves
    "controlplane/embedded/services.py": {
        "DATABASE_URL",
        "REDIS_URL",
        "KAFKA_BOOTSTRAP_SERVERS",
        "OPENAI_BASE_URL",
        "INTERLOCK_EMBEDDINGS_URL",
        "INTERLOCK_MODERATION_URL",
    },
}


class Reads(ast.NodeVisitor):
    """Collects the names of variables that a module reads; unknown: where it cannot be told."""

    def __init__(self, tree: ast.Module) -> None:
        self.names: set[str] = set()
        self.unknown: list[int] = []
        self._constants = {
            target.id: each.value.value
            for each in tree.body
            if isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant)
            for target in each.targets
            if isinstance(target, ast.Name)
        }
        self.visit(tree)

    def visit_Call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func)
        is_helper = called in {f"environment.{name}" for name in HELPERS}
        if is_helper or called.removeprefix("os.") in GETTERS or called == "os.getenv":
            self._add(node.args[0])
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if ast.unparse(node.value) in {"os.environ", "environ"}:
            self._add(node.slice)
        self.generic_visit(node)

    def _add(self, named: ast.expr) -> None:
        value: object = None
        if isinstance(named, ast.Constant):
            value = named.value
        elif isinstance(named, ast.Name):
            value = self._constants.get(named.id)
        if isinstance(value, str):
            self.names.add(value)
        else:
            self.unknown.append(named.lineno)


def read_by_the_code() -> set[str]:
    names = set[str]()
    for file in _files():
        path = str(file.relative_to(ROOT))
        reads = Reads(ast.parse(file.read_text()))
        assert not reads.unknown or path in BY_NAME_GIVEN, (path, reads.unknown)
        names |= reads.names | BY_NAME_GIVEN.get(path, set())
    return names


def _files() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (ROOT / folder).rglob("*.py")


def told_by_the_document(text: str) -> set[str]:
    """Return what stands in the first column of tables of variables."""
    names = set[str]()
    is_of_variables = False
    for line in text.splitlines():
        if line.startswith("| variable |"):
            is_of_variables = True
        elif not line.startswith("|"):
            is_of_variables = False
        elif is_of_variables:
            names |= set(re.findall(r"`([A-Z][A-Z0-9_]+)`", line.split("|")[1]))
    return names


def test_the_tables_name_what_is_read_and_nothing_else() -> None:
    told = told_by_the_document((ROOT / "docs" / "operations.md").read_text())

    assert told == read_by_the_code()


def test_every_prefix_of_kafka_s_variables_is_told() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()

    missing = [name for name in environment.KAFKA_PREFIXES if name not in text]
    assert missing == []


@pytest.mark.parametrize(
    "code",
    [
        'import os\nos.environ["NEW"]',
        'import os\nos.environ.get("NEW", "")',
        'import os\nos.getenv("NEW")',
        'from controlplane import environment\nenvironment.count("NEW", 1)',
        'import os\nVARIABLE = "NEW"\nos.environ.get(VARIABLE)',
    ],
)
def test_each_way_of_reading_a_variable_is_seen(code: str) -> None:
    assert Reads(ast.parse(code)).names == {"NEW"}


def test_a_name_that_is_made_up_at_run_time_is_seen_too() -> None:
    code = 'import os\nos.environ.get(f"{name}_FILE")'

    assert Reads(ast.parse(code)).unknown == [2]
