"""docs/runbook.md has a section for each fault that is rehearsed, in words that the pages use."""

import ast
import re
from collections.abc import Iterator

from controlplane.home.backlog import Backlog
from controlplane.home.problems import problems
from controlplane.home.refusals import Refusals
from controlplane.home.services import KAFKA, MODEL, POSTGRESQL, SCORERS, VALKEY
from tests.e2e.product import ROOT
from tests.soak.faults import kinds

TEXT = (ROOT / "docs" / "runbook.md").read_text()
SECTIONS = dict(
    part.split("\n", 1) for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
)
PARTS = ("**Shows.**", "**Goes on.**", "**Do.**", "**Over when**")
BESIDES = (
    "A disk is full",
    "A certificate has ended",
    "A migration is stuck",
    "An agent has lost its consumer group",
    "Mail does not go out",
    "Records go to the dead letters",
    "A worker lags in the applied version",
    "Guardrails get no scores",
)
SCREEN_LINES = 25


def rehearsed(section: str) -> list[str]:
    found = re.search(r"^\*Soak:\* (.+)$", section, re.MULTILINE)
    return re.findall(r"`([^`]+)`", found[1]) if found else []


def general(fault: str) -> str:
    """Which of several processes it is does not matter to whoever mends it."""
    return re.sub(r"(worker|web)-\d+", r"\1", re.sub(r"kafka-\d+", "kafka-N", fault))


def test_each_fault_of_the_soak_has_one_section() -> None:
    told = [name for section in SECTIONS.values() for name in rehearsed(section)]

    assert len(told) == len(set(told))
    assert set(told) == {general(fault.name) for fault in kinds(kafka_nodes=3)}
    assert SECTIONS.keys() >= set(BESIDES)


def test_each_section_says_all_that_is_asked_of_it_on_one_screen() -> None:
    for title, section in SECTIONS.items():
        places = [section.find(part) for part in PARTS]
        assert -1 not in places, title
        assert places == sorted(places), title
        assert len(section.splitlines()) <= SCREEN_LINES, title


def words_of_the_product() -> str:
    """Return the texts of templates, of the page's and the widget's scripts, and of the code."""
    scripts = (ROOT / "static" / name for name in ("widget/words.js", "js/live.js"))
    texts = [*_of_templates(), *_of_code(), *(file.read_text() for file in scripts)]
    down = [POSTGRESQL, KAFKA, VALKEY, MODEL, SCORERS]
    texts += [found.what for found in problems(down, [], [], Backlog(), Refusals())]
    return " ".join(" ".join(text.split()) for text in texts)


def _of_templates() -> Iterator[str]:
    for file in (ROOT / "templates").rglob("*.html"):
        without_logic = re.sub(r"\{[{%].*?[%}]\}", "", file.read_text())
        yield re.sub(r"<[^>]+>", "", without_logic)


def _of_code() -> Iterator[str]:
    for folder in (
        "controlplane/home",
        "controlplane/stops",
        "controlplane/effects",
        "agents",
        "guardrails",
    ):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_what_is_quoted_is_what_the_pages_say() -> None:
    known = words_of_the_product()
    quoted = re.findall(r"“([^”]+)”", TEXT)
    pieces = {
        piece.strip()
        for each in quoted
        for piece in " ".join(each.split()).split("…")
        if piece.strip(" .")
    } - {"quotes"}

    assert len(quoted) > 40
    assert sorted(piece for piece in pieces if piece not in known) == []
    assert "Everything is on fire" not in known
