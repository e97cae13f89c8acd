"""docs/security.md says of every topic who may write it, and its commands give just that."""

import re
import shlex
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from agents.topics import TOPICS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "security.md").read_text()
OURS = {"interlock-worker"}
WRITERS = {
    "ingress": OURS | {"interlock-site", "shop"},
    "agents": OURS,
    "platform": OURS,
}
ROW = re.compile(r"^\| `([\w.]+)` \| ((?:`[\w-]+`(?:, )?)+) \|$", re.MULTILINE)


def expected() -> dict[str, set[str]]:
    return {name: WRITERS[topic.writers] for name, topic in TOPICS.items()}


def commands() -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield the principal, the operations and the topics of each command."""
    parser = ArgumentParser()
    parser.add_argument("--bootstrap-server")
    parser.add_argument("--add", action="store_true", required=True)
    parser.add_argument("--allow-principal", required=True)
    parser.add_argument("--operation", action="append", required=True)
    parser.add_argument("--topic", action="append", default=[])
    parser.add_argument("--group")
    parser.add_argument("--resource-pattern-type")
    for line in TEXT.replace("\\\n", " ").splitlines():
        if line.startswith("    kafka-acls.sh "):
            given = parser.parse_args(shlex.split(line)[1:])
            who = given.allow_principal.removeprefix("User:")
            yield who, given.operation, given.topic


def test_the_table_names_every_topic_with_its_writers() -> None:
    told = {name: set(re.findall("`([^`]+)`", who)) for name, who in ROW.findall(TEXT)}

    assert told == expected()


def test_the_commands_let_the_same_write_and_nobody_else() -> None:
    given: dict[str, set[str]] = defaultdict(set)
    for who, operations, topics in commands():
        assert "All" not in operations
        if "Write" in operations:
            for topic in topics:
                given[topic].add(who)

    assert given == expected()


def test_the_worker_reads_every_topic_and_the_site_none() -> None:
    readers = {
        who: set(topics)
        for who, operations, topics in commands()
        if "Read" in operations and topics
    }

    assert readers["interlock-worker"] == TOPICS.keys()
    assert "interlock-site" not in readers
