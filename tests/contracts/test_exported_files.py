from pathlib import Path

import pytest

from agents import contracts, registry
from agents.topics import TOPICS

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "contracts"
EXPORT = "run: python manage.py topics --export docs/contracts"
# They look at PostgreSQL alone, at offsets, or at a mail server.
TOUCH_NO_TOPIC = {"mailer", "tripwire"}


def test_the_committed_files_are_what_the_code_says() -> None:
    generated = contracts.documents(registry.declarations())

    committed = {path.name: path.read_bytes() for path in FOLDER.glob("*.json")}

    different = {
        name
        for name in generated.keys() | committed.keys()
        if generated.get(name) != committed.get(name)
    }
    assert not different, f"{sorted(different)} differ; {EXPORT}, delete what is gone"


def test_two_contracts_never_have_one_name() -> None:
    found = {topic.contract for topic in TOPICS.values() if topic.contract}

    assert len(contracts.json_schemas()) == len(found)


def test_the_same_register_gives_the_same_bytes() -> None:
    declarations = registry.declarations()

    first, second = (contracts.documents(declarations) for _ in range(2))

    assert list(first.items()) == list(second.items())


def test_export_writes_what_load_reads(tmp_path: Path) -> None:
    written = contracts.export(tmp_path / "new" / "folder", registry.declarations())

    assert {path.stem for path in written} == {*contracts.json_schemas(), "asyncapi"}
    loaded = contracts.load(tmp_path / "new" / "folder")
    assert loaded.pop("asyncapi") == contracts.asyncapi(registry.declarations())
    assert loaded == contracts.json_schemas()


@pytest.mark.parametrize("name", registry.AGENTS)
def test_every_agent_declares_known_topics_without_tools(name: str) -> None:
    [declared] = [d for d in registry.declarations() if d.name == name]

    assert declared.description.endswith(".")
    assert bool(declared.reads or declared.writes) == (name not in TOUCH_NO_TOPIC)
    assert {*declared.reads, *declared.writes} <= TOPICS.keys()
