"""The append-only log of control actions, decisions, deliveries and reads of raw content."""

from django.db import models
from django.utils import timezone


class Entry(models.Model):
    """One line of the log. The application's database role can insert and read it, nothing else."""

    at = models.DateTimeField(default=timezone.now)
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=64)
    subject = models.CharField(max_length=200)
    trace_id = models.CharField(max_length=32, blank=True)
    detail = models.JSONField(default=dict)

    class Meta:
        verbose_name_plural = "entries"
        indexes = [
            models.Index(name="audit_entry_subject", fields=["subject", "id"]),
            models.Index(name="audit_entry_trace", fields=["trace_id", "id"]),
            models.Index(name="audit_entry_at", fields=["at"]),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor} {self.action} {self.subject}"
