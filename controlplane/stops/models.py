"""Emergency stops: what is stopped, by whom, since when."""

import uuid
from collections.abc import Iterable
from datetime import datetime

from django.db import models
from django.db.models import Exists, F, Max, OuterRef, Q, Subquery, Value
from django.db.models.functions import Concat, Trim
from django.utils import timezone

from controlplane.chat.models import Message, Received, Turn
from controlplane.chat.turns import HELD_BY_STOP
from controlplane.stops.states import State, state_of
from controlplane.stops.tripping import METRICS, Figure, Terms, covers


class StopQuerySet(models.QuerySet["Stop"]):
    def in_force(self) -> "StopQuerySet":
        return self.filter(releasing_at=None)

    def releasing(self) -> "StopQuerySet":
        return self.filter(releasing_at__isnull=False, released_at=None)

    def that_held(self, why: OuterRef, *, before: OuterRef) -> "StopQuerySet":
        """Return the hard ones of which the gate says this to people, requested before."""
        scope = Concat(Value(HELD_BY_STOP), "scope", Value(" "), "value")
        hard = self.filter(mode=Stop.Mode.HARD, requested_at__lte=before)
        return hard.annotate(why_held=Trim(scope)).filter(why_held=why)

    def released(self) -> "StopQuerySet":
        return self.filter(released_at__isnull=False)

    def not_over(self) -> "StopQuerySet":
        """In force, or on its way out."""
        return self.filter(released_at=None)

    def latest_releases(self) -> list[tuple[str, str, datetime]]:
        """Return what was let go, by scope and value, and when last."""
        let_go = self.filter(releasing_at__isnull=False).order_by()
        rows = let_go.values_list("scope", "value").annotate(Max("releasing_at"))
        return [(scope, value, at) for scope, value, at in rows]


class Stop(models.Model):
    """One stop, from its request to its release. Several may be in force at once."""

    class Mode(models.TextChoices):
        SOFT = "soft"
        HARD = "hard"

    class Scope(models.TextChoices):
        EVERYTHING = "everything"
        WORKFLOW = "workflow"
        AGENT = "agent"
        TIER = "tier"
        CONVERSATION = "conversation"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    mode = models.CharField(max_length=4, choices=Mode)
    scope = models.CharField(max_length=12, choices=Scope)
    value = models.CharField(max_length=200, blank=True)
    reason = models.TextField()
    # Names, as in the audit log: also shell:NAME, and rule:NAME of what stops by itself.
    requested_by = models.CharField(max_length=150)
    requested_at = models.DateTimeField(default=timezone.now)
    # From this version of control state on, who obeys it obeys the stop.
    control_version = models.BigIntegerField(db_default=0)
    # What was committed at the request, and at the proof: pg_current_snapshot().
    requested_snapshot = models.TextField(blank=True, db_default="")
    proven_snapshot = models.TextField(blank=True, db_default="")
    proven_at = models.DateTimeField(null=True, blank=True)
    # A person lets it go; what waited starts again, ramped, until it is released.
    releasing_at = models.DateTimeField(null=True, blank=True)
    ramp_per_s = models.FloatField(null=True, blank=True)  # records, of each agent
    release_version = models.BigIntegerField(db_default=0)
    released_at = models.DateTimeField(null=True, blank=True)
    released_by = models.CharField(max_length=150, blank=True, db_default="")
    release_reason = models.TextField(blank=True)

    objects = StopQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="stops_stop_has_reason", condition=~Q(reason="")
            ),
            models.CheckConstraint(
                name="stops_stop_names_what_it_stops",
                condition=Q(scope="everything", value="")
                | (~Q(scope="everything") & ~Q(value="")),
            ),
            models.CheckConstraint(
                name="stops_soft_stop_is_not_for_one_conversation",
                condition=~Q(mode="soft", scope="conversation"),
            ),
            models.CheckConstraint(
                name="stops_release_has_person_and_reason",
                condition=Q(releasing_at=None)
                | (~Q(released_by="") & ~Q(release_reason="")),
            ),
            models.CheckConstraint(
                name="stops_release_is_over_after_it_began",
                condition=Q(released_at=None)
                | Q(releasing_at__isnull=False, released_at__gte=F("releasing_at")),
            ),
            models.CheckConstraint(
                name="stops_ramp_is_above_zero",
                condition=Q(ramp_per_s=None) | Q(ramp_per_s__gt=0),
            ),
            # A stop engaged twice is one stop.
            models.UniqueConstraint(
                name="stops_one_in_force_per_mode_and_scope",
                fields=["mode", "scope", "value"],
                condition=Q(releasing_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.mode} stop: {self.scope} {self.value}".strip()

    @property
    def state(self) -> State:
        return state_of(self)

    @property
    def requester(self) -> str:
        """Who stopped it, as one says it."""
        kind, _, name = self.requested_by.partition(":")
        return f"the rule {name}" if kind == "rule" else self.requested_by

    def turns(self) -> "models.QuerySet[Turn]":
        """Return the turns in scope. Which agent a turn is with is not known before its answer: then all."""
        turns = Turn.objects.all()
        if self.scope == self.Scope.WORKFLOW:
            return turns.filter(conversation__workflow=self.value)
        if self.scope == self.Scope.CONVERSATION:
            return turns.filter(conversation=self.value)
        if self.scope == self.Scope.TIER:
            own, inherited = (
                Q(tier=self.value),
                Q(tier="", conversation__tier=self.value),
            )
            return turns.filter(own | inherited)
        return turns


class ListedTurnQuerySet(models.QuerySet["ListedTurn"]):
    def with_fetched(self) -> "ListedTurnQuerySet":
        """Tell of each whether a widget has said by now that it has the answer: is_fetched."""
        answers = Message.objects.filter(
            turn_id=OuterRef(OuterRef("turn_id")), role=Message.Role.ASSISTANT
        )
        first = answers.order_by("seq").values("seq")[:1]  # then come its corrections
        told = Received.objects.filter(
            conversation_id=OuterRef("conversation_id"), seq__gte=Subquery(first)
        )
        return self.annotate(is_fetched=Exists(told))


class ListedTurn(models.Model):
    """A turn that a hard stop met on its way to the user."""

    class Fate(models.TextChoices):
        IN_FLIGHT = "in_flight"  # being settled at the request
        DELIVERED = "delivered"  # committed between request and proof
        UNKNOWN = "unknown"  # its transaction was ended, as it held up the proof
        # Committed before the request, and no widget had said that it has it.
        NOT_FETCHED = "not_fetched"

    stop = models.ForeignKey(Stop, on_delete=models.CASCADE, related_name="listed")
    fate = models.CharField(max_length=12, choices=Fate)
    turn_id = models.CharField(max_length=100)
    conversation_id = models.CharField(max_length=100)
    trace_id = models.CharField(max_length=32)

    objects = ListedTurnQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="stops_listedturn_once_per_fate",
                fields=["stop", "turn_id", "fate"],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.fate} {self.turn_id}"


class ReleasePace(models.Model):
    """How far the ramp of a release has come for an agent. Workers draw from it: agents/ramp.py."""

    stop = models.ForeignKey(Stop, on_delete=models.CASCADE, related_name="paces")
    agent = models.CharField(max_length=64)
    next_at = models.DateTimeField(default=timezone.now)  # of the next record's start
    drawn = models.BigIntegerField(default=0)
    short_at = models.DateTimeField(null=True)  # when somebody last wanted more

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="stops_releasepace_is_one_per_agent", fields=["stop", "agent"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.agent}: {self.drawn} started"


class StopRule(models.Model):
    """What stops by itself: a soft stop on its scope when a figure is over its threshold."""

    METRICS = [(name, metric.title) for name, metric in METRICS.items()]

    name = models.SlugField(primary_key=True, max_length=50)
    metric = models.CharField(max_length=30, choices=METRICS)
    scope = models.CharField(max_length=12, choices=Stop.Scope)
    value = models.CharField(max_length=200, blank=True)
    threshold = models.FloatField()  # in the metric's unit; it trips above
    window = models.IntegerField()  # the latest items, or seconds
    minimum = models.IntegerField(default=1)  # of items
    is_on = models.BooleanField()
    changed_at = models.DateTimeField(default=timezone.now)  # what was before is over
    # What was counted last. The tripwire writes it, over plain psycopg.
    count = models.BigIntegerField(default=0)
    items = models.IntegerField(default=0)
    about = models.TextField(blank=True)
    unknown = models.TextField(blank=True)
    above_since = models.DateTimeField(null=True, blank=True)
    measured_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="stops_stoprule_names_what_it_stops",
                condition=Q(scope="everything", value="")
                | (~Q(scope__in=["everything", "conversation"]) & ~Q(value="")),
            ),
            models.CheckConstraint(
                name="stops_stoprule_threshold_is_above_zero",
                condition=Q(threshold__gt=0),
            ),
            models.CheckConstraint(
                name="stops_stoprule_share_is_below_100",
                condition=~Q(metric__endswith="_share") | Q(threshold__lt=100),
            ),
            models.CheckConstraint(
                name="stops_stoprule_window_holds_the_minimum",
                condition=Q(minimum__gte=1, window__gte=F("minimum")),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def where(self) -> str:
        """What it stops, as one says it."""
        return f"the {self.scope} {self.value}" if self.value else self.scope

    @property
    def actor(self) -> str:
        """What the log calls it."""
        return f"rule:{self.name}"

    def stops_over(self, stops: Iterable[Stop]) -> list[Stop]:
        """Return those that stop all that the rule would."""
        return [each for each in stops if self._is_under(each.scope, each.value)]

    def armed_at(self, releases: Iterable[tuple[str, str, datetime]]) -> datetime:
        """Return from when on things count: who let it go on, or changed it, had seen what was before."""
        over_it = [at for scope, value, at in releases if self._is_under(scope, value)]
        return max([self.changed_at, *over_it])

    def _is_under(self, scope: str, value: str) -> bool:
        return covers(scope, value, rule_scope=self.scope, rule_value=self.value)

    @property
    def terms(self) -> Terms:
        return Terms(
            metric=self.metric,
            threshold=self.threshold,
            window=self.window,
            minimum=self.minimum,
        )

    @property
    def figure(self) -> Figure:
        return Figure(
            count=self.count,
            items=self.items,
            about=self.about,
            above_since=self.above_since,
            unknown=self.unknown,
        )
