"""Asks pip-audit about everything that is locked, and says how much of it nobody could answer for.

    python ops/audit_dependencies.py requirements/base.txt requirements/dev.txt

It fails on a known vulnerability that ops/known_vulnerabilities.toml does not explain, or explains no
longer; with INTERLOCK_AUDIT_REQUIRED=true also where packages could not be audited.
"""

import json
import os
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

EXPLAINED = Path(__file__).with_name("known_vulnerabilities.toml")
WITHIN_S = 60
AUDIT = ("--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off")  # fmt: skip


@dataclass
class Judgement:
    """What is found wrong, and whom nobody answers for, each with why."""

    audited: set[str] = field(default_factory=set)
    wrong: set[str] = field(default_factory=set)
    unaudited: dict[str, str] = field(default_factory=dict)

    def fails(self, *, is_required: bool) -> bool:
        return bool(self.wrong) or (is_required and bool(self.unaudited))

    def lines(self) -> list[str]:
        lines = sorted(self.wrong)
        if self.unaudited:
            whys = ", ".join(sorted(set(self.unaudited.values())))
            lines.append(
                f"DEPENDENCIES NOT AUDITED: {len(self.unaudited)} of"
                f" {len(self.unaudited) + len(self.audited)} packages. Why: {whys}"
            )
        return lines or [
            f"{len(self.audited)} packages audited, none known as vulnerable"
        ]


def judge(
    reports: list[Any], explained: list[dict[str, Any]], today: date
) -> Judgement:
    """Read pip-audit's JSON. A report that is a text says why there is none."""
    found = Judgement()
    excused = {each["id"]: each for each in explained}
    for report in reports:
        if isinstance(report, str):
            found.unaudited[f"a whole file: {report}"] = report
            continue
        for package in report["dependencies"]:
            _judge(found, package, excused, today)
    return found


def _judge(
    found: Judgement, package: Any, excused: dict[str, Any], today: date
) -> None:
    name = package["name"]
    if "skip_reason" in package:
        found.unaudited[name] = package["skip_reason"].partition(":")[0]
        return
    found.audited.add(name)
    for flaw in package["vulns"]:
        known = {flaw["id"], *flaw.get("aliases", ())} & excused.keys()
        if any(today <= excused[one]["until"] for one in known):
            continue
        better = ", ".join(flaw["fix_versions"]) or "no version yet"
        late = " (explained, but not any longer)" if known else ""
        found.wrong.add(
            f"{name} {package['version']}: {flaw['id']}{late}, mended in {better}"
        )


def ask(file: str) -> Any:
    """Return pip-audit's report on a file, or why there is none. 1 is its word for a finding."""
    command = [sys.executable, "-m", "pip_audit", "-r", file, *AUDIT]
    try:
        done = subprocess.run(  # noqa: S603  # our own words
            command, capture_output=True, text=True, timeout=WITHIN_S, check=False
        )
        return json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return f"no answer within {WITHIN_S} s"
    except json.JSONDecodeError:
        said = done.stderr.strip().splitlines() or ["pip-audit said nothing"]
        return said[-1].partition("(")[0]


def main(files: list[str]) -> int:
    with ThreadPoolExecutor(len(files)) as many:
        reports = list(many.map(ask, files))
    explained = tomllib.loads(EXPLAINED.read_text()).get("known", [])
    found = judge(reports, explained, datetime.now(UTC).date())
    for line in found.lines():
        sys.stdout.write(f"{line}\n")
    is_required = os.environ.get("INTERLOCK_AUDIT_REQUIRED") == "true"
    return int(found.fails(is_required=is_required))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
