"""New agents are right as they are written, and a bad wish writes nothing."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from agents import scaffold, topics
from agents.events import Payload
from agents.scaffold import ScaffoldError
from agents.scaffold_agent import agent_code
from agents.scaffold_code import NoExampleError, Plan, example
from agents.scaffold_tests import code_of_test

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("agents", "guardrails", "controlplane", "moderation", "tests")
FILES = ("manage.py", "pyproject.toml")
TYPES = ".mypy_cache"


def make_plan(name: str = "price-watch", **options: Any) -> Plan:
    given = {
        "kind": "router",
        "reads": scaffold.READS,
        "writes": scaffold.WRITES,
        "package": "chat",
    }
    return Plan(name=name, **(given | options))


PLANS = [
    make_plan(),
    make_plan("flag-prices", kind="guard"),
    make_plan("second-opinion", kind="model", writes=topics.PENDING),
    make_plan(
        "guard-that-lets-pass",
        kind="guard",
        reads=topics.USER_RAW,
        writes=topics.USER_CLEANED,
    ),
    make_plan(
        "model-of-the-background",
        kind="model",
        reads=topics.request_topic("background"),
        writes=topics.RESPONSES_RAW,
        package="workflows.lead_to_pitch",
    ),
    make_plan(
        "an-agent-whose-name-is-of-forty-letters1",
        reads=topics.RESPONSES_REJECTED,
        writes=topics.pending_topic("finance"),
        package="workflows.lead_to_pitch",
    ),
    make_plan("change-log", reads=topics.CONTROL_HISTORY, writes=topics.RESPONSES_RAW),
    make_plan("to-blocked", writes=topics.USER_BLOCKED),
    make_plan(
        "guard-of-pitches",
        kind="guard",
        reads=topics.RESPONSES_EXPIRED,
        writes=topics.RESPONSES_FINAL,
        package="pitches",
    ),
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The one file that a new agent changes."""
    (tmp_path / "agents").mkdir()
    shutil.copy(ROOT / scaffold.REGISTRY, tmp_path / scaffold.REGISTRY)
    return tmp_path


def copy_code(to: Path) -> None:
    for name in COPIED:
        ignored = shutil.ignore_patterns("__pycache__", ".run", "node_modules")
        shutil.copytree(ROOT / name, to / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, to / name)
    if (
        ROOT / TYPES
    ).exists():  # what mypy knows of the rest already; `make lint` writes it
        shutil.copytree(ROOT / TYPES, to / TYPES)


KNOWN = """
from agents.registry import declaration
import sys
for name in sys.argv[1:]:
    assert declaration(name).name == name
"""


def run(folder: Path, *command: str) -> None:
    ended = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.long
@pytest.mark.timeout(400)
def test_new_agents_pass_every_check_as_written(tmp_path: Path) -> None:
    copy_code(tmp_path)

    paths = {str(path) for plan in PLANS for path in scaffold.create(tmp_path, plan)}

    tests = sorted(path for path in paths if path.startswith("tests/"))
    assert len(tests) == len(PLANS)
    run(tmp_path, "-m", "ruff", "format", "--no-cache", "--check", *sorted(paths))
    run(tmp_path, "-m", "ruff", "check", "--no-cache", *sorted(paths))
    run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    run(tmp_path, "-m", "mypy", *sorted(paths))
    run(tmp_path, "-c", KNOWN, *(plan.name for plan in PLANS))


def test_the_registry_gets_a_line_beside_its_workflow(tree: Path) -> None:
    written = scaffold.create(tree, make_plan())

    lines = (tree / scaffold.REGISTRY).read_text().splitlines()
    place = lines.index('    "price-watch": ("chat", "agents.chat.price_watch:AGENT"),')
    assert '"chat"' in lines[place - 1]
    assert '"platform"' in lines[place + 1]
    assert [str(path) for path in written] == [
        "agents/chat/price_watch.py",
        "tests/agents/test_price_watch.py",
        "agents/registry.py",
    ]


def test_a_held_question_is_not_its_own_answer() -> None:
    plan = make_plan(kind="guard", reads=topics.USER_RAW, writes=topics.USER_CLEANED)

    code = agent_code(plan)

    held, passed = code.split("yield Send(topics.pending_topic")
    assert "question=message.text" in held
    assert "text=ctx.fallback_text(message.tier)" in held
    assert "text=verdict.redacted or message.text" in passed


class CreditApplicationWithEverythingThatItsApplicantWrote(Payload, frozen=True):
    text: str
    tier: str


class CreditApplicationAfterEverythingWasCheckedAndExplained(Payload, frozen=True):
    text: str


@pytest.mark.parametrize("kind", ["router", "model", "guard"])
def test_long_names_are_formatted_too(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    contracts: dict[str, type[Payload]] = {
        "credit.applications.as-they-came-in": (
            CreditApplicationWithEverythingThatItsApplicantWrote
        ),
        "credit.applications.checked-and-explained": (
            CreditApplicationAfterEverythingWasCheckedAndExplained
        ),
    }
    for name, contract in contracts.items():
        topic = topics.Topic(name=name, owner="credit", contract=contract)
        monkeypatch.setitem(topics.TOPICS, name, topic)
    plan = make_plan(
        kind=kind,
        reads="credit.applications.as-they-came-in",
        writes="credit.applications.checked-and-explained",
    )

    for code in (agent_code(plan), code_of_test(plan)):
        assert formatted(code) == code


def formatted(code: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--no-cache", "-"],
        input=code,
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout


def test_a_new_workflow_comes_after_all(tree: Path) -> None:
    scaffold.create(tree, make_plan(package="pitches"))

    text = (tree / scaffold.REGISTRY).read_text()
    entry = '    "price-watch": ("pitches", "agents.pitches.price_watch:AGENT"),\n}\n'
    assert entry in text
    assert (tree / "agents/pitches/__init__.py").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "Price-Watch"}, "no name of an agent"),
        ({"name": "price_watch"}, "no name of an agent"),
        ({"name": "price--watch"}, "no name of an agent"),
        ({"name": "../../etc"}, "no name of an agent"),
        ({"name": "a" * 41}, "at most 40 characters"),
        ({"name": "lambda"}, "a word of Python's own"),
        ({"name": "responder"}, "There is an agent 'responder' already"),
        ({"name": "platform"}, "means several agents"),
        ({"name": "all"}, "means several agents"),
        ({"package": "../x"}, "no package for agents"),
        ({"package": "runner"}, "no package for agents"),
        ({"package": "flows.class"}, "no package for agents"),
        ({"reads": "no.such.topic"}, "There is no topic 'no.such.topic'"),
        ({"writes": topics.DEAD_LETTERS}, "has no contract"),
        ({"writes": scaffold.READS}, "answer itself"),
        ({"writes": topics.RESPONSES_FINAL}, "the platform's own"),
        (
            {"kind": "guard", "writes": topics.RESPONSES_APPROVED},
            "the platform's own",
        ),
        ({"kind": "guard", "reads": topics.CONTROL_HISTORY}, "needs a text and a tier"),
        ({"kind": "model", "reads": topics.CONTROL_HISTORY}, "needs a text and a tier"),
    ],
)
def test_a_bad_wish_is_refused_and_writes_nothing(
    tree: Path, options: dict[str, Any], sentence: str
) -> None:
    before = (tree / scaffold.REGISTRY).read_text()

    with pytest.raises(ScaffoldError, match=sentence):
        scaffold.create(tree, make_plan(**options))

    assert (tree / scaffold.REGISTRY).read_text() == before
    assert [path.name for path in tree.rglob("*.py")] == ["registry.py"]


@pytest.mark.parametrize(
    "existing", ["agents/chat/price_watch.py", "tests/agents/test_price_watch.py"]
)
def test_a_file_that_exists_stays_as_it_is(tree: Path, existing: str) -> None:
    path = tree / existing
    path.parent.mkdir(parents=True)
    path.write_text("mine")

    with pytest.raises(ScaffoldError, match=f"{existing} exists already"):
        scaffold.create(tree, make_plan())

    assert path.read_text() == "mine"


def test_a_type_without_an_example_is_refused(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.scaffold_code.Verdict", str)

    with pytest.raises(ScaffoldError, match="there is no example of"):
        scaffold.create(tree, make_plan())


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (str, '""'),
        (bool, "False"),
        (float | None, "None"),
        (Literal["b", "a"], '"b"'),
        (tuple[int, ...], "()"),
        (list, "[]"),
        (dict[str, str], "{}"),
    ],
)
def test_examples_are_code_of_their_type(kind: Any, code: str) -> None:
    assert example(kind) == code


def test_there_is_no_example_of_what_is_not_known() -> None:
    with pytest.raises(NoExampleError):
        example(Path)
