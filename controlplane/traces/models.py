"""The trace index: one row per record, its raw bytes apart, and the recorder's own offsets."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class TraceRecordQuerySet(models.QuerySet["TraceRecord"]):
    def of_trace(self, trace_id: str) -> "TraceRecordQuerySet":
        return self.filter(trace_id=trace_id).order_by(
            "at", "topic", "partition", "offset"
        )

    def at_coordinates(
        self, topic: str, partition: int, offset: int
    ) -> "TraceRecordQuerySet":
        return self.filter(topic=topic, partition=partition, offset=offset)


class TraceRecord(models.Model):
    """One Kafka record. The table is partitioned by time, so its migration is plain SQL."""

    pk = models.CompositePrimaryKey("topic", "partition", "offset", "at")
    topic = models.TextField()
    partition = models.IntegerField()
    offset = models.BigIntegerField()
    at = models.DateTimeField()  # Kafka's append time
    trace_id = models.CharField(max_length=32)
    event_id = models.TextField()
    parents = ArrayField(models.TextField())
    type = models.TextField()
    agent = models.TextField()
    conversation_id = models.TextField()
    workflow = models.TextField()
    tier = models.TextField()
    subject = models.TextField()
    text = models.TextField()
    rules = ArrayField(models.TextField(), default=list)  # that hit in its verdict
    watched = ArrayField(models.TextField(), default=list)  # that hit and did not act
    backend = models.TextField(default="")  # the model's, of an answer
    key_sha256 = models.BinaryField()
    headers_sha256 = models.BinaryField()
    value_sha256 = models.BinaryField()
    size_bytes = models.IntegerField()

    objects = TraceRecordQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "traces_record"

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"


class TracePayload(models.Model):
    """The bytes of a record as they came. Few may read them, and each read is recorded."""

    pk = models.CompositePrimaryKey("topic", "partition", "offset", "at")
    topic = models.TextField()
    partition = models.IntegerField()
    offset = models.BigIntegerField()
    at = models.DateTimeField()
    key = models.BinaryField(null=True)
    value = models.BinaryField()
    headers = models.BinaryField()  # JSON of [[name, base64], ...]

    class Meta:
        managed = False
        db_table = "traces_payload"

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"


class RecorderOffset(models.Model):
    """How far the recorder is: it moves in the transaction that writes the rows."""

    topic = models.TextField()
    partition = models.IntegerField()
    next_offset = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="traces_one_offset_per_partition", fields=["topic", "partition"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}: {self.next_offset}"
