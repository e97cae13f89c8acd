"""What the runtimes read and write in PostgreSQL: control version, switches, heartbeats, outbox."""

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.utils import timezone

from agents.cloudevents import parse_traceparent

HEARTBEAT_EXPIRES = timedelta(seconds=6)


class ControlVersion(models.Model):
    """One row: it moves with every change of control state, in the same transaction."""

    version = models.BigIntegerField(default=0)
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="runtime_controlversion_is_one_row", condition=Q(id=1)
            ),
        ]

    def __str__(self) -> str:
        return f"v{self.version}"


class AgentSwitch(models.Model):
    """An agent that an administrator switched off, on every worker."""

    agent = models.CharField(max_length=64, unique=True)
    paused = models.BooleanField(default=True)
    reason = models.TextField()

    def __str__(self) -> str:
        return f"{self.agent}: {'paused' if self.paused else 'running'}"


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    def live(self) -> "HeartbeatQuerySet":
        return self.filter(seen_at__gte=timezone.now() - HEARTBEAT_EXPIRES)


class Heartbeat(models.Model):
    """What one worker process last said of itself. Written by the worker over plain psycopg.

    publication: the latest whose rules it obeys; ruled_in_ms: how long after it, of one that it saw coming.
    rule_costs: as `guardrails/costs.py` tells them, of the rules of ruleset_hash.
    """

    instance = models.CharField(max_length=120, primary_key=True)
    host = models.CharField(max_length=120)
    pid = models.IntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    applied_version = models.BigIntegerField()
    applied_in_ms = models.FloatField()
    ruleset_hash = models.CharField(max_length=64, blank=True)
    publication = models.BigIntegerField(default=0, db_default=0)
    ruled_in_ms = models.FloatField(null=True)
    rule_costs = models.JSONField(default=dict)
    agents = models.JSONField(default=list)
    metrics = models.JSONField(default=list)

    objects = HeartbeatQuerySet.as_manager()

    class Meta:
        indexes = [
            # The control room lists live workers.
            models.Index(name="runtime_heartbeat_seen", fields=["seen_at"]),
        ]

    def __str__(self) -> str:
        return self.instance


class OutboxRecordQuerySet(models.QuerySet["OutboxRecord"]):
    def unpublished(self) -> "OutboxRecordQuerySet":
        """What the relay has yet to publish."""
        return self.filter(published_at=None, failed_at=None)

    def refused(self) -> "OutboxRecordQuerySet":
        """What Kafka will never take as it is."""
        return self.filter(published_at=None, failed_at__isnull=False)


class OutboxRecord(models.Model):
    """A record that the database decided on and Kafka must hear; the relay publishes it."""

    topic = models.CharField(max_length=120)
    key = models.BinaryField(null=True)
    value = models.BinaryField()
    headers = models.JSONField()  # [[name, text or {"base64": ...}], ...]
    created_at = models.DateTimeField(default=timezone.now)
    published_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)
    failure = models.TextField(blank=True)  # why Kafka will never take it

    objects = OutboxRecordQuerySet.as_manager()

    class Meta:
        indexes = [
            # The relay takes what is unpublished and may be taken, oldest first.
            models.Index(
                name="runtime_outbox_unpublished",
                fields=["id"],
                condition=Q(published_at=None, failed_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic} #{self.pk}"

    @property
    def trace_id(self) -> str:
        """The trace it belongs to, or nothing."""
        return parse_traceparent(str(dict(self.headers).get("traceparent", "")))
