"""Effects outside: what agents asked for that leaves the product, and what became of it."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from controlplane.effects.states import NEEDS_PERSON, Verb, verbs_for


class EffectQuerySet(models.QuerySet["Effect"]):
    def needing_a_person(self) -> "EffectQuerySet":
        return self.filter(state__in=NEEDS_PERSON)


class Effect(models.Model):
    """A mail that an agent asked for. Its id goes up in the order in which we heard of them."""

    class Kind(models.TextChoices):
        MAIL = "mail"

    class State(models.TextChoices):
        HELD = "held"
        UNKNOWN = "unknown"
        FAILED = "failed"
        WAITING = "waiting"
        SENDING = "sending", "Being sent"
        SENT = "sent"
        DROPPED = "dropped"

    kind = models.CharField(max_length=10, choices=Kind, default=Kind.MAIL)
    record_id = models.CharField(max_length=200)
    workflow = models.CharField(max_length=50, blank=True)
    agent = models.CharField(max_length=64, blank=True)  # which asked for it
    # It, and all whose work may be in it: a stop of any of them covers the effect.
    agents = ArrayField(models.CharField(max_length=64), default=list)
    tier = models.CharField(max_length=50, blank=True)
    conversation_id = models.CharField(max_length=200, blank=True)  # or another key
    trace_id = models.CharField(max_length=32, blank=True)

    recipient = models.TextField()
    subject = models.TextField(blank=True)
    text = models.TextField(blank=True)

    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    attempts = models.IntegerField(default=0)  # never set back: it names a claim
    next_try_at = models.DateTimeField(default=timezone.now)
    sender = models.CharField(max_length=120, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    begun_at = models.DateTimeField(null=True, blank=True)  # from then on it may be out
    error = models.TextField(blank=True)
    stop = models.ForeignKey(
        "stops.Stop",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="held_effects",
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_why = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now)

    objects = EffectQuerySet.as_manager()

    class Meta:
        permissions = [("decide_effect", "Can send, settle and drop effects outside")]
        constraints = [
            models.UniqueConstraint(
                name="effects_effect_of_a_record_is_one", fields=["record_id"]
            ),
            models.CheckConstraint(
                name="effects_what_is_being_sent_has_a_lease",
                condition=~Q(state="sending") | Q(lease_until__isnull=False),
            ),
            models.CheckConstraint(
                name="effects_decision_has_person_time_and_reason",
                condition=Q(decided_by=None, decided_at=None, decided_why="")
                | Q(decided_by__isnull=False, decided_at__isnull=False)
                & ~Q(decided_why=""),
            ),
        ]
        indexes = [
            # The page lists those of a state, the newest first, and counts them.
            models.Index(name="effects_effect_state", fields=["state", "-id"]),
            # Senders take what has waited longest.
            models.Index(
                name="effects_effect_waiting",
                fields=["next_try_at", "id"],
                condition=Q(state="waiting"),
            ),
            models.Index(
                name="effects_effect_sending",
                fields=["id"],
                condition=Q(state="sending"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.record_id}: {self.state}"

    @property
    def verbs(self) -> list[Verb]:
        return verbs_for(self.State(self.state).value)  # type: ignore[arg-type]  # the same words


class ListedEffect(models.Model):
    """An effect that had begun, and was not over, when a hard stop closed the way out."""

    stop = models.ForeignKey(
        "stops.Stop",
        on_delete=models.CASCADE,
        related_name="listed_effects",
        db_index=False,
    )
    effect = models.ForeignKey(Effect, on_delete=models.CASCADE)
    was_unknown = models.BooleanField(default=False)  # at the proof

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="effects_listedeffect_once_per_stop", fields=["stop", "effect"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.effect_id} met by {self.stop_id}"
