"""Works on an evaluation: a turn at the oldest one, whenever it is woken up."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from agents.agent import Scorer
from agents.checking import check, needs_scores
from controlplane import jobs
from controlplane.evaluations.models import Evaluation
from guardrails import scored
from guardrails.context import Context
from guardrails.engine import Engine, compile_rules
from guardrails.evaluation import Evaluation as Found
from guardrails.evaluation import Row, begin
from guardrails.rules import decode_rule_set
from guardrails.verdicts import Verdict

UNREADABLE = "It cannot be gone on with by this version of the product."

_ROWS = msgspec.json.Decoder(list[Row])
_FOUND = msgspec.json.Decoder(Found)


def run() -> None:
    """Work on the oldest evaluation, if nobody else is at it."""
    light = Evaluation.objects.defer("rules_body", "texts", "result")
    jobs.work_on(light, _turn_at, unreadable=UNREADABLE)


def _turn_at(job: Evaluation, turn: jobs.Turn) -> None:
    _Run(job, turn).go_on()


class _Run:
    def __init__(self, job: Evaluation, turn: jobs.Turn) -> None:
        self._turn = turn
        self._done = job.done
        self._engine = _engine(bytes(job.rules_body))
        self._rows = _ROWS.decode(bytes(job.texts or b"[]"))
        self._found = (
            _FOUND.decode(bytes(job.result))
            if job.result
            else begin(decode_rule_set(bytes(job.rules_body)))
        )

    def go_on(self) -> None:
        self._turn.go_on(self._step, self._so_far)

    def _so_far(self) -> dict[str, Any]:
        return {"done": self._done, "result": msgspec.json.encode(self._found)}

    def _step(self) -> bool:
        rows = self._rows[self._done : self._done + jobs.BATCH]
        is_scored = any(needs_scores(self._engine, _about(row)) for row in rows)
        rows = rows[: jobs.SCORED_BATCH] if is_scored else rows
        verdicts = self._ask(rows) if is_scored else [self._check(row) for row in rows]
        for row, verdict in zip(rows, verdicts, strict=True):
            self._found.add(row, verdict)
        self._done += len(rows)
        return self._done < len(self._rows)

    def _check(self, row: Row) -> Verdict:
        return self._engine.check(row.text, _about(row))

    def _ask(self, rows: Sequence[Row]) -> list[Verdict]:
        return self._turn.wait_for(scored.begin(_checking(self._engine, rows)))


def _about(row: Row) -> Context:
    return Context(direction=row.direction, tier=row.tier, workflow="chat")


def _checking(
    engine: Engine, rows: Sequence[Row]
) -> Callable[[Scorer], Coroutine[Any, Any, list[Verdict]]]:
    async def check_all(scorer: Scorer) -> list[Verdict]:
        asked = (check(engine, scorer, row.text, _about(row)) for row in rows)
        return await asyncio.gather(*asked)

    return check_all


@lru_cache(maxsize=2)
def _engine(rules: bytes) -> Engine:
    """Compile once for all turns. msgspec.MsgspecError if they cannot be read."""
    return compile_rules(decode_rule_set(rules))
