"""manage.py agent: write a new agent, try one without Kafka, list them all."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents import registry, scaffold, trial
from agents.agent import Agent, Context
from agents.direct import DirectModel
from agents.scaffold_code import Plan
from agents.scorers.scorers import Scorers
from agents.topics import TOPICS
from guardrails.dealer import DEALER
from guardrails.masking import Masker, masker_of
from guardrails.rules import RuleSet

NEXT = "Write what it decides and its description, then: manage.py topics --export docs/contracts"


class Command(BaseCommand):
    help = "Write a new agent, try one without Kafka, or list them all."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        new = commands.add_parser("new", help="write an agent, its test, its entry")
        new.add_argument("name")
        new.add_argument("--reads", default=scaffold.READS, metavar="TOPIC")
        new.add_argument("--writes", default=scaffold.WRITES, metavar="TOPIC")
        new.add_argument(
            "--kind", default="router", choices=("guard", "router", "model")
        )
        new.add_argument("--package", default=scaffold.PACKAGE)
        attempt = commands.add_parser("try", help="run an agent on events of a file")
        attempt.add_argument("name")
        attempt.add_argument("file", help="JSON lines; - is standard input")
        attempt.add_argument("--rules", type=Path, help="a rule-set as JSON")
        attempt.add_argument("--pretty", action="store_true")
        commands.add_parser("list", help="say what every agent reads and writes")

    def handle(self, *args: Any, command: str, **options: Any) -> None:
        run = {"new": self._new, "try": self._try, "list": self._list}[command]
        try:
            run(options)
        except (
            registry.UnknownAgentError,
            scaffold.ScaffoldError,
            trial.TrialError,
        ) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from error

    def _new(self, options: dict[str, Any]) -> None:
        wanted = {name: options[name] for name in Plan.__struct_fields__}
        for path in scaffold.create(settings.BASE_DIR, Plan(**wanted)):
            self.stdout.write(str(path))
        self.stdout.write(NEXT)

    def _try(self, options: dict[str, Any]) -> None:
        agent = registry.declaration(options["name"])
        rules = options["rules"]
        rule_set = trial.read_rules(rules.read_bytes()) if rules else DEALER
        given = options["file"]
        if given == "-":
            lines = sys.stdin.buffer.read().splitlines()
        else:
            lines = Path(given).read_bytes().splitlines()
        asyncio.run(self._run(agent, lines, rule_set, pretty=options["pretty"]))

    async def _run(
        self, agent: Agent, lines: list[bytes], rule_set: RuleSet, *, pretty: bool
    ) -> None:
        masker = masker_of(settings.MASKING)
        scorers = Scorers(settings.SCORERS, masker)
        try:
            async for record in trial.run(
                agent, lines, _context(rule_set, scorers, masker)
            ):
                found = trial.to_json(record)
                text = msgspec.json.format(found, indent=2) if pretty else found
                self.stdout.write(text.decode())
        finally:
            await scorers.close()

    def _list(self, _: dict[str, Any]) -> None:
        for agent in registry.declarations():
            self.stdout.write(
                f"{agent.name:<14} {agent.workflow:<10} {agent.kind:<8} "
                f"{_names(agent.reads)} -> {_names(agent.writes)}"
            )


def _context(rule_set: RuleSet, scorers: Scorers, masker: Masker) -> Context:
    return trial.make_context(
        rule_set,
        scorer=scorers,
        model=DirectModel(
            settings.OPENAI_BASE_URL,
            os.environ.get("OPENAI_MODEL", "interlock-demo"),
            masker,
        ),
        knowledge=Path(settings.KNOWLEDGE_PATH).read_text(),
    )


def _names(topics: tuple[str, ...]) -> str:
    if set(topics) == set(TOPICS):
        return "every topic"
    return ", ".join(topics) or "nothing"
