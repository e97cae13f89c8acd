"""manage.py guard_eval: how well a rule-set tells labelled texts apart."""

import asyncio
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents.checking import check
from agents.scorers.scorers import Scorers
from guardrails.context import Context
from guardrails.engine import Engine, compile_rules
from guardrails.evaluation import Evaluation, Row, begin
from guardrails.evaluation_report import as_plain, as_text
from guardrails.labelled import BadLine, Lines, NotLabelledError, Usual, read_lines
from guardrails.masking import masker_of
from guardrails.models import Publication
from guardrails.rules import RuleSet, decode_rule_set

AT_ONCE = 64
TOLD = 20  # bad lines that are named on the terminal
KEPT = 1_000  # and in the report
PROGRESS_EVERY_S = 0.2


class Command(BaseCommand):
    help = (
        "Say how well a rule-set tells labelled texts apart. Files are CSV (.csv, with columns text and"
        " label) or JSON lines; a label is hit or pass, an action, or the rules that should hit."
        " Columns direction and tier are used where they are there."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument(
            "--rules", type=Path, help="a rule-set as JSON; else the one in force"
        )
        parser.add_argument("--direction", default="input", choices=("input", "output"))
        parser.add_argument("--tier", default="free")
        parser.add_argument(
            "--json", type=Path, metavar="FILE", help="write the report there"
        )

    def handle(self, *args: Any, files: list[Path], **options: Any) -> None:
        rule_set = _rule_set(options["rules"])
        engine = compile_rules(rule_set)
        usual = Usual(
            direction=options["direction"],
            tier=options["tier"],
            rules=frozenset(rule.id for rule in rule_set.rules),
        )
        run = Run(engine, begin(rule_set), Progress(files))
        try:
            asyncio.run(run.all(files, usual))
        except NotLabelledError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from error
        self._tell(run, options["json"])

    def _tell(self, run: "Run", report: Path | None) -> None:
        for line in as_text(run.evaluation):
            self.stdout.write(line)
        if report is not None:
            report.write_bytes(msgspec.json.format(msgspec.json.encode(run.report())))
        for bad in run.bad[:TOLD]:
            self.stderr.write(f"{bad.file}:{bad.number}: {bad.reason}")
        if run.bad_count > TOLD:
            self.stderr.write(f"and {run.bad_count - TOLD:,} lines more")
        if run.bad_count:
            raise CommandError(f"{run.bad_count:,} lines could not be read.")
        if run.evaluation.unchecked:
            raise CommandError(f"{run.evaluation.unchecked:,} texts were not checked.")
        if not run.evaluation.rows:
            raise CommandError("There was no text in it.")


class Progress:
    """Says on a terminal how far the files are read, by their bytes."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._is_shown = sys.stderr.isatty()
        self._size = sum(path.stat().st_size for path in files if path.is_file())
        self._before = 0
        self._told_at_s = 0.0

    def tell(self, file: BinaryIO, rows: int) -> None:
        now_s = time.monotonic()
        if now_s - self._told_at_s >= PROGRESS_EVERY_S:
            self._told_at_s = now_s
            share = (self._before + file.tell()) / max(1, self._size)
            self._show(f"\r{rows:,} texts, {min(1.0, share):.0%} ")

    def done(self, file: BinaryIO) -> None:
        self._before += file.tell()
        self._show("\r\033[K")

    def _show(self, line: str) -> None:
        if self._is_shown:
            sys.stderr.write(line)
            sys.stderr.flush()


class Run:
    """Checks row after row, as many at once as scorers like; keeps figures and never a file."""

    def __init__(
        self, engine: Engine, evaluation: Evaluation, progress: Progress
    ) -> None:
        self.evaluation = evaluation
        self.bad: list[BadLine] = []
        self.bad_count = 0
        self._engine = engine
        self._progress = progress
        self._files: list[str] = []

    async def all(self, files: Iterable[Path], usual: Usual) -> None:
        scorers = Scorers(settings.SCORERS, masker_of(settings.MASKING))
        try:
            await scorers.prepare(self._engine.rules)
            for path in files:
                with path.open("rb") as file:
                    await self._one(path, file, usual, scorers)
        finally:
            await scorers.close()

    async def _one(
        self, path: Path, file: BinaryIO, usual: Usual, scorers: Scorers
    ) -> None:
        self._files.append(str(path))
        of_file = msgspec.structs.replace(usual, file=str(path))
        rows = self._rows(read_lines(file, of_file))
        try:
            while batch := list(islice(rows, AT_ONCE)):
                await asyncio.gather(*(self._check(row, scorers) for row in batch))
                self._progress.tell(file, self.evaluation.rows)
        except NotLabelledError as error:
            raise NotLabelledError(f"{path}: {error}.") from error
        self._progress.done(file)

    def _rows(self, lines: Lines) -> Iterator[Row]:
        for line in lines:
            if isinstance(line, Row):
                yield line
                continue
            self.bad_count += 1
            if len(self.bad) < KEPT:
                self.bad.append(line)

    async def _check(self, row: Row, scorers: Scorers) -> None:
        about = Context(direction=row.direction, tier=row.tier, workflow="chat")
        self.evaluation.add(row, await check(self._engine, scorers, row.text, about))

    def report(self) -> dict[str, Any]:
        bad = msgspec.to_builtins(self.bad)
        return {
            "ruleset_hash": self._engine.ruleset_hash,
            "files": self._files,
            **as_plain(self.evaluation),
            "bad_lines": {"count": self.bad_count, "first": bad},
        }


def _rule_set(path: Path | None) -> RuleSet:
    if path is None:
        latest = Publication.objects.select_related("rule_set").order_by("-pk").first()
        if latest is None:
            raise CommandError("No rule-set is published; name one with --rules.")
        return decode_rule_set(bytes(latest.rule_set.body))
    try:
        return decode_rule_set(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} is no rule-set: {error}") from error
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
