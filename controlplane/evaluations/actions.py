"""Every write to evaluations that no worker does; each is on record, and so is who takes a report away."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from controlplane.audit import actions as audit
from controlplane.evaluations.models import Evaluation
from guardrails.actions import InvalidRulesError
from guardrails.checks import check_rule_set
from guardrails.evaluation import Row
from guardrails.rules import RuleSet, encode_rule_set, ruleset_hash


class BusyError(Exception):
    """Each person has one at a time."""

    def __init__(self, job: Evaluation | None) -> None:
        super().__init__(
            "An evaluation of yours is not finished. Wait for its end, or cancel it."
        )
        self.job = job


def start_evaluation(
    rule_set: RuleSet, rows: Sequence[Row], *, file: str, rules: str, by: User
) -> Evaluation:
    """Check labelled texts by a rule-set; a worker does it, and forgets the texts at the end.

    rules: what the rule-set is, of Evaluation.Rules. BusyError, or InvalidRulesError if nothing can be enforced of it.
    """
    if problems := check_rule_set(rule_set):
        raise InvalidRulesError(list(problems))
    try:
        return _start(rule_set, rows, file=file, rules=rules, by=by)
    except IntegrityError as error:
        busy = Evaluation.objects.light().unfinished().filter(started_by=by)
        raise BusyError(busy.first()) from error


@transaction.atomic
def _start(
    rule_set: RuleSet, rows: Sequence[Row], *, file: str, rules: str, by: User
) -> Evaluation:
    job = Evaluation.objects.create(
        started_by=by,
        total=len(rows),
        file=file,
        rules=rules,
        ruleset_hash=ruleset_hash(rule_set),
        rules_body=encode_rule_set(rule_set),
        texts=msgspec.json.encode(rows),
    )
    detail = {"rules": job.ruleset_hash, "texts": job.total}
    audit.record(by, "evaluation_started", _subject(job.pk), detail=detail)
    return job


def forget_old() -> None:
    """What was found of somebody's texts is not kept for ever."""
    Evaluation.objects.outdated().delete()


@transaction.atomic
def cancel_evaluation(job_id: UUID, *, by: User) -> None:
    """End it where it is. One that has ended stays as it is."""
    if Evaluation.objects.filter(pk=job_id).end(Evaluation.State.CANCELLED):
        audit.record(by, "evaluation_cancelled", _subject(job_id))


@transaction.atomic
def delete_evaluation(job_id: UUID, *, by: User) -> None:
    """Take it away with all that it found, and end it before if it has not."""
    deleted, _ = Evaluation.objects.filter(pk=job_id).delete()
    if deleted:
        audit.record(by, "evaluation_deleted", _subject(job_id))


@transaction.atomic
def take_report(job: Evaluation, *, by: User) -> None:
    audit.record(by, "evaluation_report_taken", _subject(job.pk))


def _subject(job_id: UUID) -> str:
    return f"evaluation:{job_id}"
