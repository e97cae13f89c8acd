"""manage.py agent and manage.py topics --export, as one types them."""

import io
import shutil
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from agents import registry, scaffold
from agents.topics import TOPICS
from controlplane.embedded.services import Services
from guardrails.rules import Rule, RuleSet, encode_rule_set

MESSAGE = '{"conversation_id": "c1", "text": "Have you a unicorn?"}\n'


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("agent", *arguments, stdout=out)
    return out.getvalue()


def test_list_says_what_every_agent_reads_and_writes() -> None:
    lines = run("list").splitlines()

    assert [line.split()[0] for line in lines] == list(registry.AGENTS)
    assert any("user.messages.raw -> user.messages.cleaned" in line for line in lines)
    assert any("every topic -> nothing" in line for line in lines)


def test_try_prints_a_line_for_each_record(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    events.write_text(MESSAGE * 2)

    lines = run("try", "input-guard", str(events)).splitlines()

    assert len(lines) == 2
    assert all('"topic":"user.messages.cleaned"' in line for line in lines)


def test_try_reads_standard_input_and_other_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = Rule(
        id="x",
        name="X",
        direction="input",
        kind="terms",
        action="block",
        terms=("unicorn",),
        reply="No.",
    )
    rules = tmp_path / "rules.json"
    rules.write_bytes(encode_rule_set(RuleSet((rule,))))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(MESSAGE.encode())))

    out = run("try", "input-guard", "-", "--rules", str(rules), "--pretty")

    assert '  "topic": "user.messages.blocked"' in out


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("input-guard", MESSAGE + "{}", "Line 2 cannot be read"),
        ("gate", MESSAGE, "belongs to the platform"),
        ("nobody", MESSAGE, "no agent 'nobody'"),
    ],
)
def test_what_cannot_be_tried_is_a_sentence(
    tmp_path: Path, name: str, text: str, sentence: str
) -> None:
    events = tmp_path / "events.jsonl"
    events.write_text(text)

    with pytest.raises(CommandError, match=sentence) as raised:
        run("try", name, str(events))

    assert raised.value.returncode == 1


def test_a_file_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(CommandError, match="/no/file: No such file"):
        run("try", "input-guard", "/no/file")


def test_new_writes_three_files(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "agents").mkdir()
    source = settings.BASE_DIR / scaffold.REGISTRY
    shutil.copy(source, tmp_path / scaffold.REGISTRY)
    settings.BASE_DIR = tmp_path

    out = run("new", "price-watch", "--kind", "guard")

    assert "agents/chat/price_watch.py\ntests/agents/test_price_watch.py" in out
    assert (tmp_path / "agents/chat/price_watch.py").exists()
    with pytest.raises(CommandError, match="already"):
        run("new", "price-watch")


def test_topics_are_created_and_then_as_declared(services: Services) -> None:
    for arguments in ([], ["--check"]):
        out = io.StringIO()
        call_command("topics", *arguments, stdout=out)
        assert f"{len(TOPICS)} topics are as declared" in out.getvalue()


def test_export_writes_the_contracts(tmp_path: Path) -> None:
    out = io.StringIO()

    call_command("topics", "--export", str(tmp_path), stdout=out)

    assert (tmp_path / "asyncapi.json").exists()
    assert (tmp_path / "UserMessage.json").exists()
    assert "files in" in out.getvalue()
