"""Works on a backtest: a turn at the oldest one, whenever it is woken up."""

from typing import Any

import msgspec

from controlplane import jobs
from controlplane.backtests import recorded
from controlplane.backtests.judging import Pair, sides_of
from controlplane.backtests.models import Backtest
from guardrails import scored
from guardrails.backtest import Comparison, Origin, Text

UNREADABLE = "One of the two rule-sets cannot be read by this version of the product."


def run() -> None:
    """Work on the oldest backtest, if nobody else is at it."""
    jobs.work_on(Backtest.objects.all(), _turn_at, unreadable=UNREADABLE)


def _turn_at(job: Backtest, turn: jobs.Turn) -> None:
    _Run(job, turn).go_on()


class _Run:
    def __init__(self, job: Backtest, turn: jobs.Turn) -> None:
        self._job = job
        self._turn = turn
        self._done = job.done
        self._cursor = msgspec.convert(job.cursor, Origin)
        self._found = (
            msgspec.convert(job.result, Comparison) if job.result else Comparison()
        )
        self._size = jobs.SCORED_BATCH
        live = bytes(job.in_force.body) if job.in_force else b""
        self._sides = sides_of(live, bytes(job.draft_body))

    def go_on(self) -> None:
        self._turn.go_on(self._step, self._so_far)

    def _so_far(self) -> dict[str, Any]:
        return {
            "done": self._done,
            "cursor": _plain(self._cursor),
            "result": _plain(self._found),
        }

    def _step(self) -> bool:
        """Judge a few texts; return whether there were any records."""
        at_most = min(self._size, self._job.total - self._done)
        batch = recorded.read(self._cursor, at_most=at_most)
        for text, (live, draft) in zip(
            batch.texts, self._judge(batch.texts), strict=True
        ):
            self._found.add(text, live, draft)
        self._done += batch.records
        self._cursor = batch.cursor
        return batch.records > 0

    def _judge(self, texts: list[Text]) -> list[Pair]:
        if not any(self._sides.needs_scores(text) for text in texts):
            self._size = jobs.BATCH
            return [self._sides.judge(text) for text in texts]
        self._size = jobs.SCORED_BATCH
        return self._turn.wait_for(scored.begin(self._sides.judging(texts)))


def _plain(struct: msgspec.Struct) -> object:
    """What PostgreSQL takes: JSON has no infinity."""
    return msgspec.json.decode(msgspec.json.encode(struct))
