"""Backtests of drafts: what was asked, how far it is, and what it has found."""

from django.db import models
from django.db.models import Q

from controlplane.jobs import UNFINISHED, Job, JobQuerySet


class BacktestQuerySet(JobQuerySet["Backtest"]):
    def light(self) -> "BacktestQuerySet":
        """Without what is long."""
        return self.select_related("started_by").defer("draft_body", "result")

    def of_draft(self, draft_hash: str) -> "BacktestQuerySet":
        """Those that have an end to be looked at, of exactly this draft."""
        done = self.filter(draft_hash=draft_hash, state="done")
        return done.order_by("-requested_at", "-pk")


class Backtest(Job):
    """The draft as it was, held against the set in force on recorded texts.

    cursor: the record before which the next one is. result: what was found up to there, which has no text in it.
    """

    size = models.PositiveIntegerField()  # how many records were asked for
    rule = models.SlugField(blank=True)  # whose editor it was started from
    draft_hash = models.CharField(max_length=64)
    draft_body = models.BinaryField()
    in_force = models.ForeignKey(
        "guardrails.RuleSet", on_delete=models.PROTECT, null=True, blank=True
    )
    cursor = models.JSONField()
    result = models.JSONField(null=True, blank=True)

    objects = models.Manager.from_queryset(BacktestQuerySet)()

    class Meta(Job.Meta):
        abstract = False
        permissions = [
            ("view_sample", "Can read recorded texts that a backtest came upon")
        ]
        indexes = [
            # Workers look for the oldest that is not finished.
            models.Index(
                name="backtests_backtest_unfinished",
                fields=["requested_at"],
                condition=Q(state__in=UNFINISHED),
            ),
            # Before a draft is published, its latest one is shown.
            models.Index(
                name="backtests_backtest_draft",
                fields=["draft_hash", "-requested_at"],
            ),
        ]
