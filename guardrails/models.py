"""Rules as people edit them, and the immutable rule-sets that were published of them."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Max, Min, Q
from django.utils import timezone


def _texts() -> ArrayField:  # type: ignore[type-arg]
    return ArrayField(models.TextField(), default=list, blank=True)


class Rule(models.Model):
    """A rule as it stands in the draft. What agents obey is the published rule-set."""

    class Direction(models.TextChoices):
        INPUT = "input"
        OUTPUT = "output"

    class Kind(models.TextChoices):
        TERMS = "terms"
        PATTERN = "pattern"
        PII = "pii", "Personal data"
        THRESHOLD = "threshold"
        EXPRESSION = "expression"
        SCORE = "score"
        TOPIC = "topic"
        JUDGE = "judge"

    class Action(models.TextChoices):
        ALLOW = "allow"
        TAG = "tag"
        REDACT = "redact"
        BLOCK = "block"
        REPLACE = "replace"
        ESCALATE = "escalate"

    class Severity(models.TextChoices):
        LOW = "low"
        MEDIUM = "medium"
        HIGH = "high"

    class Mode(models.TextChoices):
        DRAFT = "draft"
        SHADOW = "shadow"
        CANARY = "canary"
        ENFORCE = "enforce"
        OFF = "off"

    class OnTimeout(models.TextChoices):
        HOLD = "hold"
        HIT = "hit"
        LET_PASS = "pass", "Pass"

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    direction = models.CharField(max_length=6, choices=Direction)
    kind = models.CharField(max_length=10, choices=Kind)
    action = models.CharField(max_length=10, choices=Action)
    severity = models.CharField(max_length=6, choices=Severity, default=Severity.MEDIUM)
    mode = models.CharField(max_length=7, choices=Mode, default=Mode.DRAFT)
    version = models.PositiveIntegerField(default=1)
    tiers = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    workflows = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    terms = _texts()
    pattern = models.TextField(blank=True)
    field = models.CharField(max_length=50, blank=True)
    limit = models.FloatField(null=True, blank=True)
    team = models.CharField(max_length=50, blank=True)
    reply = models.TextField(blank=True)
    exceptions = _texts()
    must_hit = _texts()
    must_pass = _texts()
    priority = models.IntegerField(default=0)
    percent = models.FloatField(default=0)
    types = _texts()
    regions = _texts()
    expression = models.TextField(blank=True)
    score = models.CharField(max_length=50, blank=True)
    examples = _texts()
    counter_examples = _texts()
    is_allow_list = models.BooleanField(default=False)
    instruction = models.TextField(blank=True)
    on_timeout = models.CharField(
        max_length=4, choices=OnTimeout, default=OnTimeout.HOLD
    )

    def __str__(self) -> str:
        return self.name


class RuleVersionQuerySet(models.QuerySet["RuleVersion"]):
    def latest_first(self) -> "RuleVersionQuerySet":
        return self.order_by("-version")

    def latest_versions(self) -> dict[str, int]:
        rows = self.order_by().values("slug").annotate(latest=Max("version"))
        return {row["slug"]: row["latest"] for row in rows}


class RuleVersion(models.Model):
    """A rule as it was saved once. Append-only: it is there too when the rule has left the draft."""

    slug = models.SlugField()
    version = models.PositiveIntegerField()
    body = models.JSONField()
    admission = models.JSONField(null=True)  # none where nobody measured
    saved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    saved_at = models.DateTimeField(default=timezone.now)

    objects = RuleVersionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="guardrails_ruleversion_is_one_per_rule_and_number",
                fields=["slug", "version"],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.slug} v{self.version}"


class RuleSet(models.Model):
    """All rules of one publication. Immutable: its key is the hash of its body."""

    hash = models.CharField(primary_key=True, max_length=64)
    body = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="guardrails_ruleset_key_is_a_hash",
                condition=Q(hash__regex="^[0-9a-f]{64}$"),
            ),
        ]

    def __str__(self) -> str:
        return self.hash[:12]


class CompiledSet(models.Model):
    """The compiled form of a rule-set that was published lately. Who has none, or cannot read it, compiles anew."""

    rule_set = models.OneToOneField(RuleSet, on_delete=models.PROTECT, primary_key=True)
    body = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.rule_set_id[:12]}, {len(self.body):,} bytes"


class PublicationQuerySet(models.QuerySet["Publication"]):
    def latest_first(self) -> "PublicationQuerySet":
        """The first is the one in force."""
        return self.order_by("-pk")

    def with_people(self) -> "PublicationQuerySet":
        return self.select_related("rule_set", "published_by")

    def first_of_each_set(self) -> dict[str, int]:
        """By hash, the publication with which a rule-set came."""
        rows = self.order_by().values("rule_set").annotate(first=Min("pk"))
        return {row["rule_set"]: row["first"] for row in rows}


class Publication(models.Model):
    """Which rule-set is in force since when; the latest one counts, so a rollback is one more."""

    rule_set = models.ForeignKey(RuleSet, on_delete=models.PROTECT)
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    published_at = models.DateTimeField(default=timezone.now)
    reason = models.TextField()

    objects = PublicationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="guardrails_publication_has_reason", condition=~Q(reason="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule_set_id[:12]} since {self.published_at:%Y-%m-%d %H:%M:%S}"
