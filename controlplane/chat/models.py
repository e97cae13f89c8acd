"""Conversations, their turns, the one outcome of each turn, what both sides have seen, corrections.

A turn writes all of these tables: a foreign key that begins a unique constraint has no other index.
"""

import uuid
from datetime import datetime

from django.db import models
from django.db.models import Count, F, Func, Q
from django.utils import timezone


class Conversation(models.Model):
    """A thread between one end user and the agents. Its row is the lock for all below it."""

    id = models.CharField(primary_key=True, max_length=100)
    user = models.CharField(max_length=100, blank=True)
    tier = models.CharField(max_length=50)  # that of its newest turn
    workflow = models.CharField(max_length=50, default="chat")
    latest_turn = models.IntegerField(default=0)
    passed_turn = models.IntegerField(default=0)  # up to here every turn is settled
    latest_seq = models.IntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="chat_conversation_passes_only_turns_it_has",
                condition=Q(passed_turn__lte=F("latest_turn")),
            ),
        ]
        indexes = [
            # A delivery locks it by this number: a stop asks whose it is.
            models.Index(
                Func(F("id"), function="hashtext", output_field=models.IntegerField()),
                name="chat_conversation_lock",
            ),
        ]

    def __str__(self) -> str:
        return self.id


class Turn(models.Model):
    """One message of the user and what becomes of it. Its id is the ingress event's id."""

    id = models.CharField(primary_key=True, max_length=100)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.PROTECT, related_name="turns", db_index=False
    )
    number = models.IntegerField()
    client_id = models.CharField(max_length=100, blank=True)
    text = models.TextField()
    trace_id = models.CharField(max_length=32)
    tier = models.CharField(max_length=50, blank=True)  # its user's when it was written
    wants_person = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField(default=timezone.now)
    accepted_at = models.DateTimeField(null=True, blank=True)  # Kafka has it
    deadline_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="chat_turn_number_is_unique_in_conversation",
                fields=["conversation", "number"],
            ),
        ]
        indexes = [
            models.Index(name="chat_turn_trace", fields=["trace_id"]),
            # A stop counts what it met.
            models.Index(name="chat_turn_created", fields=["created_at"]),
            # The control room counts what Kafka has not confirmed.
            models.Index(
                name="chat_turn_unconfirmed",
                fields=["created_at"],
                condition=Q(accepted_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"turn {self.number} of {self.conversation_id}"

    @property
    def effective_tier(self) -> str:
        """Its own; old turns have none, and count as those of their conversation's."""
        return self.tier or self.conversation.tier


class Outcome(models.Model):
    """What became of a turn. One per effect; only the gate and the intake write it."""

    class State(models.TextChoices):
        OPEN = "open"
        HELD = "held"
        APPROVED = "approved"
        REJECTED = "rejected"
        EXPIRED = "expired"
        DELIVERED = "delivered"
        FAILED = "failed"

    turn = models.ForeignKey(
        Turn, on_delete=models.PROTECT, related_name="outcomes", db_index=False
    )
    effect = models.CharField(max_length=20, default="reply")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    record_id = models.CharField(
        max_length=100, blank=True
    )  # the record that decided it
    kind = models.CharField(max_length=10, blank=True)
    text = models.TextField(blank=True)  # ready, waiting for the turns before it
    reviewed = models.BooleanField(default=False)
    reason = models.TextField(blank=True)
    source = models.CharField(max_length=100, blank=True)  # the agent behind the text
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="chat_outcome_is_one_per_turn_and_effect",
                fields=["turn", "effect"],
            ),
        ]
        indexes = [
            # Sockets show what is open or held, and for a day what has failed: few rows,
            # however long a conversation is.
            models.Index(
                name="chat_outcome_unsettled",
                fields=["turn"],
                condition=Q(state__in=["open", "held"]),
            ),
            models.Index(
                name="chat_outcome_failed",
                fields=["changed_at"],
                condition=Q(state="failed"),
            ),
            # The sweeper looks for turns that nothing has settled.
            models.Index(
                name="chat_outcome_open",
                fields=["changed_at"],
                condition=Q(state="open"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.state}: {self.turn_id}"


class Judgement(models.Model):
    """What the output guard said of the reply to a turn. Never edited: rules count over the latest."""

    turn = models.OneToOneField(Turn, on_delete=models.PROTECT, primary_key=True)
    workflow = models.CharField(max_length=50)
    tier = models.CharField(max_length=50)
    source = models.CharField(max_length=100)  # the guard
    is_flagged = models.BooleanField()  # it did not pass as it was
    judged_at = models.DateTimeField()

    class Meta:
        indexes = [
            # Automatic stops look at the latest, of all tiers or of one.
            models.Index(name="chat_judgement_latest", fields=["judged_at"]),
            models.Index(name="chat_judgement_tier", fields=["tier", "judged_at"]),
        ]

    def __str__(self) -> str:
        return f"{'flagged' if self.is_flagged else 'passed'}: {self.turn_id}"


class Duplicate(models.Model):
    """A record that came after its turn's outcome and said otherwise. Nobody acts on it."""

    record_id = models.CharField(max_length=100, unique=True)
    turn = models.ForeignKey(Turn, on_delete=models.PROTECT, related_name="duplicates")
    topic = models.CharField(max_length=120)
    partition = models.IntegerField()
    offset = models.BigIntegerField()
    outcome_state = models.CharField(max_length=10)
    seen_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"


class Message(models.Model):
    """A line of the transcript: what both sides have seen, in the order of seq."""

    class Role(models.TextChoices):
        USER = "user"
        ASSISTANT = "assistant"

    conversation = models.ForeignKey(
        Conversation, on_delete=models.PROTECT, related_name="messages", db_index=False
    )
    seq = models.IntegerField()
    turn = models.ForeignKey(
        Turn, on_delete=models.PROTECT, related_name="messages", db_index=False
    )
    role = models.CharField(max_length=10, choices=Role)
    text = models.TextField()
    kind = models.CharField(max_length=10, blank=True)
    reviewed = models.BooleanField(default=False)
    copy = models.ForeignKey(  # of a correction: that is this line
        "CorrectionCopy",
        on_delete=models.PROTECT,
        related_name="lines",
        null=True,
        blank=True,
        db_index=False,
    )
    delivered_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="chat_message_seq_is_unique_in_conversation",
                fields=["conversation", "seq"],
            ),
            # Besides it a turn has only corrections. One index also finds a turn's lines.
            models.UniqueConstraint(
                name="chat_message_is_one_per_turn_and_role",
                fields=["turn", "role", "copy"],
                nulls_distinct=False,
            ),
            models.UniqueConstraint(
                name="chat_message_is_one_per_correction_and_conversation",
                fields=["copy"],
                condition=Q(copy__isnull=False),
            ),
            models.CheckConstraint(
                name="chat_message_is_a_correction_if_it_is_a_copy_of_one",
                condition=Q(kind="correction", copy__isnull=False)
                | (~Q(kind="correction") & Q(copy=None)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} #{self.seq} of {self.conversation_id}"


class Received(models.Model):
    """Up to which line a widget says that it has its conversation. No row: none has ever said so.

    Not a column of the conversation, nor a foreign key to it: the gate locks that row.
    """

    conversation_id = models.CharField(primary_key=True, max_length=100)
    seq = models.IntegerField()
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.conversation_id} up to {self.seq}"


class Feedback(models.Model):
    """What the user says of an answer. One for each answer, and the last word counts."""

    class Rating(models.TextChoices):
        UP = "up"
        DOWN = "down"

    message = models.OneToOneField(
        Message, on_delete=models.PROTECT, related_name="feedback"
    )
    rating = models.CharField(max_length=4, choices=Rating)
    reason = models.CharField(max_length=500, blank=True)
    times_given = models.IntegerField(default=1)
    given_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="chat_feedback_is_up_or_down",
                condition=Q(rating__in=["up", "down"]),
            ),
        ]
        indexes = [
            # Automatic stops look at the latest.
            models.Index(name="chat_feedback_latest", fields=["given_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.rating} for message {self.message_id}"


class ModelCall(models.Model):
    """A model's answer, stored before it is published, so that a retry publishes the same."""

    request_id = models.CharField(primary_key=True, max_length=100)
    tier = models.CharField(max_length=50, blank=True, db_default="")
    backend = models.CharField(max_length=50)
    model = models.CharField(max_length=200)
    messages = models.JSONField()
    answer = models.TextField()
    finish_reason = models.CharField(max_length=50, blank=True)
    kind = models.CharField(max_length=10)
    latency_ms = models.FloatField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            # Automatic stops look at the latest, of all tiers or of one.
            models.Index(name="chat_modelcall_latest", fields=["created_at"]),
            models.Index(name="chat_modelcall_tier", fields=["tier", "created_at"]),
        ]

    def __str__(self) -> str:
        return self.request_id


class CorrectionQuerySet(models.QuerySet["Correction"]):
    def with_progress(self) -> "CorrectionQuerySet":
        """How many conversations each is owed to, has reached, and did not reach."""
        return self.annotate(
            **{
                state.value: Count("copies", filter=Q(copies__state=state.value))
                for state in CorrectionCopy.State
            }
        )


class Correction(models.Model):
    """What a person wrote once, for everybody whom an answer reached that was wrong."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    stop_id = models.UUIDField(null=True, blank=True, db_index=True)
    text = models.TextField()
    text_sha256 = models.CharField(max_length=64)
    reason = models.TextField()
    written_by = models.CharField(max_length=150)
    written_at = models.DateTimeField()  # by the database's clock

    objects = CorrectionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="chat_correction_says_something_and_why",
                condition=~Q(text="") & ~Q(reason=""),
            ),
        ]

    def __str__(self) -> str:
        return f"correction {self.pk} by {self.written_by}"


class CorrectionCopyQuerySet(models.QuerySet["CorrectionCopy"]):
    def unsent(self) -> "CorrectionCopyQuerySet":
        """What is owed, and is not in the outbox yet."""
        return self.filter(state=CorrectionCopy.State.OWED, queued_at=None)


class CorrectionCopy(models.Model):
    """A correction on its way to one conversation. The gate alone delivers or refuses it."""

    class State(models.TextChoices):
        OWED = "owed"
        DELIVERED = "delivered"
        REFUSED = "refused"

    correction = models.ForeignKey(
        Correction, on_delete=models.PROTECT, related_name="copies", db_index=False
    )
    # Checked as its turn's: a constraint's check would lock thousands of them against the gate.
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    turn = models.ForeignKey(  # whose answer it corrects
        Turn, on_delete=models.PROTECT, related_name="corrections", db_index=False
    )
    seen_turn = models.IntegerField()  # the latest one when a person asked for it
    confirmed = models.BooleanField(default=False)  # even where it has moved on
    asked_at = models.DateTimeField()  # by a person: compared with that of stops
    tries = models.IntegerField(default=1)  # each has a record of its own
    queued_at = models.DateTimeField(null=True, blank=True)  # the outbox has it
    state = models.CharField(max_length=10, choices=State, default=State.OWED)
    why = models.TextField(blank=True)  # it was refused
    seq = models.IntegerField(null=True, blank=True)  # under which it was delivered
    changed_at = models.DateTimeField(default=timezone.now)

    objects = CorrectionCopyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="chat_correctioncopy_is_one_per_conversation",
                fields=["correction", "conversation"],
            ),
            models.CheckConstraint(
                name="chat_correctioncopy_has_a_number_once_it_is_delivered",
                condition=Q(state="delivered", seq__isnull=False)
                | (~Q(state="delivered") & Q(seq=None)),
            ),
        ]
        indexes = [
            # The page of its trace lists them.
            models.Index(name="chat_correctioncopy_turn", fields=["turn"]),
            models.Index(
                name="chat_correctioncopy_unsent",
                fields=["id"],
                condition=Q(state="owed", queued_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.state} to {self.conversation_id}"

    @property
    def delivered_at(self) -> datetime | None:
        return self.changed_at if self.state == self.State.DELIVERED else None
