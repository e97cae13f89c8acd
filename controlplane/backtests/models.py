"""Backtests of drafts: what was asked, how far it is, and what it has found."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

UNFINISHED = ("queued", "running")
LOST_AFTER = timedelta(seconds=15)  # then another worker takes it over


class BacktestQuerySet(models.QuerySet["Backtest"]):
    def unfinished(self) -> "BacktestQuerySet":
        """The first is the one that is worked on."""
        return self.filter(state__in=UNFINISHED).order_by("requested_at", "pk")

    def latest_first(self) -> "BacktestQuerySet":
        return self.order_by("-requested_at", "-pk")

    def light(self) -> "BacktestQuerySet":
        """Without what is long."""
        return self.select_related("started_by").defer("draft_body", "result")

    def of_draft(self, draft_hash: str) -> "BacktestQuerySet":
        """Those that have an end to be looked at, of exactly this draft."""
        return self.filter(draft_hash=draft_hash, state="done").latest_first()


class Backtest(models.Model):
    """The draft as it was, held against the set in force on recorded texts.

    lease: of the worker that is at it, which says so by beat_at; without one any worker may go on. cursor: the
    record before which the next one is. result: what was found up to there, which has no text in it.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        CANCELLED = "cancelled"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(max_length=9, choices=State, default=State.QUEUED)
    reason = models.TextField(blank=True)  # why it failed
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    requested_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    size = models.PositiveIntegerField()  # how many records were asked for
    total = models.PositiveIntegerField()  # how many there were
    done = models.PositiveIntegerField(default=0)
    rule = models.SlugField(blank=True)  # whose editor it was started from
    draft_hash = models.CharField(max_length=64)
    draft_body = models.BinaryField()
    in_force = models.ForeignKey(
        "guardrails.RuleSet", on_delete=models.PROTECT, null=True, blank=True
    )
    lease = models.UUIDField(null=True, blank=True)
    beat_at = models.DateTimeField(db_default=Now())
    losses = models.PositiveIntegerField(default=0)  # workers that were not heard again
    cursor = models.JSONField()
    result = models.JSONField(null=True, blank=True)

    objects = BacktestQuerySet.as_manager()

    class Meta:
        permissions = [
            ("view_sample", "Can read recorded texts that a backtest came upon")
        ]
        constraints = [
            models.UniqueConstraint(
                name="backtests_backtest_is_one_at_a_time_per_person",
                fields=["started_by"],
                condition=Q(state__in=UNFINISHED),
            ),
            models.CheckConstraint(
                name="backtests_backtest_ends_in_an_end_state",
                condition=Q(state__in=UNFINISHED, finished_at=None)
                | (~Q(state__in=UNFINISHED) & Q(finished_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="backtests_failure_has_reason",
                condition=~Q(state="failed") | ~Q(reason=""),
            ),
            models.CheckConstraint(
                name="backtests_backtest_does_no_more_than_there_is",
                condition=Q(done__lte=F("total")),
            ),
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

    def __str__(self) -> str:
        return f"backtest {self.pk} of {self.draft_hash[:12]}"

    @property
    def is_unfinished(self) -> bool:
        return self.state in UNFINISHED
