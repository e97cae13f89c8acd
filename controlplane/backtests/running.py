"""Works on a backtest for a while, beside agents that come first: each wake-up goes on where the one before it ended.

What was found, the place up to which, and the sign of life are one row, written in one statement: a worker that
dies takes nothing with it, and whoever takes over counts no text twice.
"""

import time
from concurrent.futures import Future, wait
from uuid import UUID, uuid4

import msgspec
import structlog
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from controlplane.backtests import recorded
from controlplane.backtests.judging import Pair, Sides, sides_of
from controlplane.backtests.models import LOST_AFTER, Backtest
from controlplane.clock import database_now
from guardrails import scored
from guardrails.backtest import Comparison, Origin, Text

log = structlog.get_logger()

RUN_S = 2.0  # then the next wake-up goes on
SAVE_EVERY_S = 1.0
BATCH = 32  # texts
SCORED_BATCH = 8
MAX_LOSSES = 3
LOST = (
    "Three workers in a row ended while they were at it. Their logs say why; it went on"
    " from where the one before had been."
)
UNREADABLE = "One of the two rule-sets cannot be read by this version of the product."


class EndedError(Exception):
    """Somebody has cancelled it, or another worker has taken it over."""


def run() -> None:
    """Work on the oldest backtest, if nobody else is at it."""
    job = claim()
    if job is None:
        return
    try:
        Run(job).go_on()
    except EndedError:
        log.info("backtest_ended", backtest=str(job.pk))
    except msgspec.MsgspecError:
        fail(job, UNREADABLE)


@transaction.atomic
def claim() -> Backtest | None:
    """Take the oldest one. From a worker that is not heard any more it is taken, but not for ever."""
    unfinished = Backtest.objects.unfinished().select_for_update(of=("self",))
    job = unfinished.select_related("in_force").first()
    if job is None or _is_taken(job):
        return None
    job.losses = job.losses + 1 if job.lease else 0
    if job.losses >= MAX_LOSSES:
        fail(job, LOST)
        return None
    if job.lease:
        log.warning("backtest_taken_over", backtest=str(job.pk), losses=job.losses)
    job.lease, job.state = uuid4(), Backtest.State.RUNNING
    job.beat_at = database_now()
    job.save(update_fields=["lease", "state", "losses", "beat_at"])
    return job


def _is_taken(job: Backtest) -> bool:
    return job.lease is not None and database_now() - job.beat_at < LOST_AFTER


def fail(job: Backtest, reason: str) -> None:
    Backtest.objects.filter(pk=job.pk, lease=job.lease).unfinished().update(
        state=Backtest.State.FAILED,
        reason=reason,
        finished_at=timezone.now(),
        lease=None,
    )


class Run:
    """One worker's turn at a backtest."""

    def __init__(self, job: Backtest) -> None:
        self._job = job
        self._lease: UUID | None = job.lease
        self._done = job.done
        self._cursor = msgspec.convert(job.cursor, Origin)
        self._found = (
            msgspec.convert(job.result, Comparison) if job.result else Comparison()
        )
        self._size = SCORED_BATCH
        self._saved_at_s = time.monotonic()

    def go_on(self) -> None:
        """EndedError as soon as it is not ours any more."""
        until_s = time.monotonic() + RUN_S
        live = bytes(self._job.in_force.body) if self._job.in_force else b""
        sides = sides_of(live, bytes(self._job.draft_body))
        while self._step(sides):
            if time.monotonic() >= until_s:
                self._save(lease=None)
                return
            if time.monotonic() - self._saved_at_s >= SAVE_EVERY_S:
                self._save()
        self._save(state=Backtest.State.DONE, finished_at=timezone.now(), lease=None)

    def _step(self, sides: Sides) -> bool:
        """Judge a few texts, then leave the processor to others for as long; return whether there were any."""
        started_s = time.thread_time()
        at_most = min(self._size, self._job.total - self._done)
        batch = recorded.read(self._cursor, at_most=at_most)
        for text, (live, draft) in zip(
            batch.texts, self._judge(sides, batch.texts), strict=True
        ):
            self._found.add(text, live, draft)
        self._done += batch.records
        self._cursor = batch.cursor
        time.sleep(time.thread_time() - started_s)
        return batch.records > 0

    def _judge(self, sides: Sides, texts: list[Text]) -> list[Pair]:
        if not any(sides.needs_scores(text) for text in texts):
            self._size = BATCH
            return [sides.judge(text) for text in texts]
        self._size = SCORED_BATCH
        return self._await(scored.begin(sides.judging(texts)))

    def _await(self, judging: "Future[list[Pair]]") -> list[Pair]:
        """Give signs of life while scorers are waited for, and ask no further when it has ended."""
        try:
            while not wait([judging], timeout=SAVE_EVERY_S).done:
                self._say(beat_at=Now())
        except EndedError:
            judging.cancel()
            raise
        return judging.result()

    def _save(self, **changed: object) -> None:
        self._say(
            done=self._done,
            cursor=_plain(self._cursor),
            result=_plain(self._found),
            losses=0,
            beat_at=Now(),
            **changed,
        )
        self._saved_at_s = time.monotonic()

    def _say(self, **changed: object) -> None:
        mine = Backtest.objects.filter(pk=self._job.pk, lease=self._lease)
        if not mine.unfinished().update(**changed):
            raise EndedError


def _plain(struct: msgspec.Struct) -> object:
    """What PostgreSQL takes: JSON has no infinity."""
    return msgspec.json.decode(msgspec.json.encode(struct))
