"""Every write to backtests that no worker does; each is on record, and so is who reads what they came upon."""

from uuid import UUID

import msgspec
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from controlplane.audit import actions as audit
from controlplane.backtests import recorded
from controlplane.backtests.models import Backtest
from guardrails.actions import InvalidRulesError
from guardrails.backtest import Comparison, Sample
from guardrails.checks import check_rule_set
from guardrails.models import Publication
from guardrails.rules import (
    RuleSet,
    decode_rule_set,
    encode_rule_set,
    ruleset_hash,
)

PAGE = 40


class BacktestError(Exception):
    """It cannot be started; the text says why."""


class NothingRecordedError(BacktestError):
    def __init__(self) -> None:
        super().__init__(
            "No message is recorded yet. Write one in the chat first, then there is something to test on."
        )


class BusyError(BacktestError):
    """Each person has one at a time."""

    def __init__(self, job: Backtest | None) -> None:
        super().__init__(
            "A backtest of yours is not finished. Wait for its end, or cancel it."
        )
        self.job = job


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A sample with its text, as long as that is kept."""

    sample: Sample
    text: str | None


def start_backtest(draft: RuleSet, *, size: int, by: User, rule: str = "") -> Backtest:
    """Hold a draft against the set in force on the latest records of messages; a worker does it.

    rule: from whose editor the draft was taken. It reads texts as they were written, which is on record at once.
    BacktestError if it cannot be, InvalidRulesError if nothing could be enforced of the draft.
    """
    if problems := check_rule_set(draft):
        raise InvalidRulesError(problems)
    if unfinished := _unfinished_of(by):
        raise BusyError(unfinished)
    try:
        return _start(draft, size=size, by=by, rule=rule)
    except IntegrityError as error:  # pressed twice at the same moment
        raise BusyError(_unfinished_of(by)) from error


def _unfinished_of(user: User) -> Backtest | None:
    return Backtest.objects.unfinished().filter(started_by=user).first()


@transaction.atomic
def _start(draft: RuleSet, *, size: int, by: User, rule: str) -> Backtest:
    cursor = recorded.begin()
    if cursor is None:
        raise NothingRecordedError
    latest = Publication.objects.select_related("rule_set").latest_first().first()
    job = Backtest.objects.create(
        started_by=by,
        size=size,
        total=recorded.count(cursor, at_most=size),
        rule=rule,
        draft_hash=ruleset_hash(draft),
        draft_body=encode_rule_set(draft),
        in_force=latest.rule_set if latest else None,
        cursor=msgspec.to_builtins(cursor),
    )
    detail = {
        "draft": job.draft_hash,
        "in_force": job.in_force_id or "",
        "records": job.total,
        "reads": "texts as they were written",
    }
    audit.record(by, "backtest_started", _subject(job.pk), detail=detail)
    return job


def start_again(job: Backtest, *, by: User) -> Backtest:
    """Begin anew with the same draft, on what are the latest records by now."""
    try:
        draft = decode_rule_set(bytes(job.draft_body))
    except msgspec.MsgspecError as error:
        raise BacktestError(
            "Its draft cannot be read by this version of the product."
        ) from error
    return start_backtest(draft, size=job.size, by=by, rule=job.rule)


def forget_old() -> None:
    """What was found of recorded texts is not kept for ever."""
    Backtest.objects.outdated().delete()


@transaction.atomic
def cancel_backtest(job_id: UUID, *, by: User) -> None:
    """End it where it is. One that has ended stays as it is."""
    if Backtest.objects.filter(pk=job_id).end(Backtest.State.CANCELLED):
        audit.record(by, "backtest_cancelled", _subject(job_id))


@transaction.atomic
def read_samples(job: Backtest, *, page: int, by: User) -> list[Read]:
    """Return samples with their texts, and record that this person has read them. Pages begin at 0."""
    found = msgspec.convert(job.result, Comparison) if job.result else Comparison()
    shown = found.samples[page * PAGE : (page + 1) * PAGE]
    texts = recorded.find([sample.origin for sample in shown])
    if texts:
        read = sorted({f"{o.topic}/{o.partition}@{o.offset}" for o in texts})
        detail = {"records": read}
        audit.record(by, "backtest_samples_read", _subject(job.pk), detail=detail)
    return [Read(sample=each, text=texts.get(each.origin)) for each in shown]


def _subject(job_id: UUID) -> str:
    return f"backtest:{job_id}"
