"""The append-only log of control actions, decisions, deliveries and reads of raw content."""

from functools import reduce
from operator import or_

from django.db import models
from django.db.models import Q
from django.utils import timezone

# What people and agents do all day long: a control action is among a million of them.
DAILY = ("turn:", "approval:", "effect:", "record:", "route:", "session:")
SIGNING_IN = ("signed_in", "signed_out", "sign_in_failed", "sign_in_throttled")
IS_DAILY = reduce(or_, (Q(subject__startswith=kind) for kind in DAILY))
IS_DAILY |= Q(action__in=SIGNING_IN)


class EntryQuerySet(models.QuerySet["Entry"]):
    def control_actions(self) -> "EntryQuerySet":
        """What changed how the product behaves, or who may change it."""
        return self.exclude(IS_DAILY)


class Entry(models.Model):
    """One line of the log. The application's database role can insert and read it, nothing else."""

    at = models.DateTimeField(default=timezone.now)
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=64)
    subject = models.CharField(max_length=200)
    trace_id = models.CharField(max_length=32, blank=True)
    detail = models.JSONField(default=dict)

    objects = EntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "entries"
        indexes = [
            models.Index(name="audit_entry_subject", fields=["subject", "id"]),
            models.Index(name="audit_entry_trace", fields=["trace_id", "id"]),
            models.Index(name="audit_entry_at", fields=["at"]),
            # The control room lists the latest control actions.
            models.Index(
                name="audit_entry_control", fields=["-id"], condition=~IS_DAILY
            ),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor} {self.action} {self.subject}"
