"""Dead letters as people see them: what each says, what was decided on it, and jobs over many."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Count, Q
from django.utils import timezone


class LetterQuerySet(models.QuerySet["Letter"]):
    def open(self) -> "LetterQuerySet":
        return self.filter(state=Letter.State.OPEN)

    def newest_first(self) -> "LetterQuerySet":
        return self.order_by("-pk")


class Letter(models.Model):
    """One record of agents.dlq. The recorder writes its row with the record itself.

    Its bytes are in the trace index; its place in agents.dlq is its identity.
    """

    class State(models.TextChoices):
        OPEN = "open"
        REDRIVEN = "redriven"
        DISCARDED = "discarded"

    partition = models.IntegerField()
    offset = models.BigIntegerField()
    at = models.DateTimeField()  # Kafka's append time
    trace_id = models.CharField(max_length=32, blank=True)
    agent = models.TextField(blank=True)
    # Where the record was read from; nothing if the letter does not say.
    topic = models.TextField(blank=True)
    topic_partition = models.IntegerField(null=True, blank=True)
    topic_offset = models.BigIntegerField(null=True, blank=True)
    key = models.TextField(blank=True)
    reason = models.TextField(blank=True)
    attempts = models.IntegerField()
    size_bytes = models.IntegerField()
    redrive_of = models.TextField(
        blank=True
    )  # the letter that the record was in before
    state = models.CharField(max_length=9, choices=State, default=State.OPEN)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_why = models.TextField(blank=True)
    sent = models.ForeignKey(
        "runtime.OutboxRecord", on_delete=models.SET_NULL, null=True, blank=True
    )

    objects = LetterQuerySet.as_manager()

    class Meta:
        permissions = [("decide_letter", "Can redrive and discard dead letters")]
        constraints = [
            models.UniqueConstraint(
                name="deadletters_letter_is_listed_once",
                fields=["partition", "offset", "at"],  # a new log begins at 0 again
            ),
            models.CheckConstraint(
                name="deadletters_decision_has_person_and_time",
                condition=Q(state="open", decided_by=None, decided_at=None)
                | (
                    ~Q(state="open")
                    & Q(decided_by__isnull=False, decided_at__isnull=False)
                ),
            ),
            models.CheckConstraint(
                name="deadletters_discarding_has_reason",
                condition=~Q(state="discarded") | ~Q(decided_why=""),
            ),
        ]
        indexes = [
            # Automatic stops count those of the latest minutes.
            models.Index(name="deadletters_letter_latest", fields=["at"]),
            # The page lists open letters, newest first.
            models.Index(
                name="deadletters_letter_open",
                fields=["-id"],
                condition=Q(state="open"),
            ),
            # A trace shows what was decided on its letters.
            models.Index(name="deadletters_letter_trace", fields=["trace_id"]),
            # A letter names those that its record came back in.
            models.Index(
                name="deadletters_letter_again",
                fields=["redrive_of"],
                condition=~Q(redrive_of=""),
            ),
        ]

    def __str__(self) -> str:
        return f"agents.dlq/{self.partition}@{self.offset}"

    @property
    def is_open(self) -> bool:
        return self.state == self.State.OPEN

    @property
    def first_line(self) -> str:
        return self.reason.strip().partition("\n")[0]

    @property
    def origin(self) -> str:
        """Where the record was read from."""
        return f"{self.topic}/{self.place}" if self.place else self.topic

    @property
    def place(self) -> str:
        if self.topic_partition is None or self.topic_offset is None:
            return ""
        return f"{self.topic_partition}@{self.topic_offset}"


class Job(models.Model):
    """A decision on many letters, worked off in the background. Its items are the truth."""

    class Verb(models.TextChoices):
        REDRIVE = "redrive"
        DISCARD = "discard"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    verb = models.CharField(max_length=7, choices=Verb)
    reason = models.TextField(blank=True)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    started_at = models.DateTimeField(default=timezone.now)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            # Workers look for jobs that are not finished, the oldest first.
            models.Index(
                name="deadletters_job_unfinished",
                fields=["started_at"],
                condition=Q(finished_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verb} of dead letters {self.pk}"

    def count_by_result(self) -> dict[str, int]:
        rows = self.items.order_by().values("result").annotate(letters=Count("pk"))
        return {row["result"]: row["letters"] for row in rows}


class JobItem(models.Model):
    """One letter of a job, and what became of it there."""

    class Result(models.TextChoices):
        WAITING = ""
        DONE = "done"
        ALREADY = "already"  # somebody had decided on it
        REFUSED = "refused"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="items")
    letter = models.ForeignKey(Letter, on_delete=models.CASCADE)
    result = models.CharField(max_length=7, choices=Result, blank=True)
    note = models.TextField(blank=True)  # why it was refused, or who was first

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="deadletters_job_names_a_letter_once", fields=["job", "letter"]
            ),
        ]
        indexes = [
            # The next letter of a job is the oldest that waits.
            models.Index(
                name="deadletters_jobitem_waiting",
                fields=["job", "letter"],
                condition=Q(result=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.letter_id} of {self.job_id}: {self.result or 'waiting'}"
