"""What people decide on: held answers, and the one decision that closes each."""

import uuid

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models import Count, Q
from django.utils import timezone

from controlplane.accounts.table import OF_TEAMS

EVERY_TEAM = OF_TEAMS["moderation.approval"]


class ApprovalQuerySet(models.QuerySet["Approval"]):
    def pending(self) -> "ApprovalQuerySet":
        return self.filter(state=Approval.State.PENDING)

    def for_user(self, user: User) -> "ApprovalQuerySet":
        """Only what this person may see, and with the permission decide on."""
        if user.has_perm(EVERY_TEAM):
            return self
        return self.filter(team__in=user.teams.values("slug"))

    def of_team(self, team: str) -> "ApprovalQuerySet":
        return self.filter(team=team) if team else self

    def with_conversation(self) -> "ApprovalQuerySet":
        return self.select_related("turn__conversation")

    def most_urgent_first(self) -> "ApprovalQuerySet":
        return self.order_by("deadline_at", "pk")

    def count_by_team(self) -> dict[str, int]:
        rows = self.order_by().values("team").annotate(waiting=Count("pk"))
        return {row["team"]: row["waiting"] for row in rows}


class Approval(models.Model):
    """An answer that waits for a person, or was decided on by one."""

    class State(models.TextChoices):
        PENDING = "pending"
        APPROVED = "approved"
        REJECTED = "rejected"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.CharField(max_length=50)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    turn = models.ForeignKey(
        "chat.Turn", on_delete=models.PROTECT, related_name="approvals"
    )
    effect = models.CharField(max_length=20, default="reply")
    record_id = models.CharField(max_length=100)
    text = models.TextField()
    text_sha256 = models.CharField(max_length=64)
    why = models.TextField()  # one sentence for the person who decides
    verdict = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)
    deadline_at = models.DateTimeField()

    objects = ApprovalQuerySet.as_manager()

    class Meta:
        permissions = [
            ("decide_approval", "Can decide on held answers"),
            ("override_guardrail", "Can send what a rule would hold"),
            ("view_every_team", "Can see what waits for teams of others"),
        ]
        constraints = [
            models.UniqueConstraint(
                name="moderation_approval_one_pending_per_turn_and_effect",
                fields=["turn", "effect"],
                condition=Q(state="pending"),
            ),
            models.CheckConstraint(
                name="moderation_approval_has_sha256",
                condition=Q(text_sha256__regex="^[0-9a-f]{64}$"),
            ),
        ]
        indexes = [
            # The queue lists pending approvals, nearest deadline first.
            models.Index(
                name="moderation_approval_pending",
                fields=["team", "deadline_at"],
                condition=Q(state="pending"),
            ),
            # The rules' pages count what each of them held within a day.
            models.Index(name="moderation_approval_created", fields=["created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.state} approval {self.pk}"

    @property
    def fingerprint(self) -> str:
        """What a person saw who read the draft now: its hash, and how far the conversation went."""
        return f"{self.text_sha256}:{self.turn.conversation.latest_turn}"

    @property
    def has_draft(self) -> bool:
        """Whether an agent answered: where a person was asked for, there is only a text to begin with."""
        return not (isinstance(self.verdict, dict) and self.verdict.get("reason"))

    @property
    def is_pending(self) -> bool:
        return self.state == self.State.PENDING


class DecisionQuerySet(models.QuerySet["Decision"]):
    def latest_first(self) -> "DecisionQuerySet":
        return self.order_by("-decided_at", "-pk")


class Decision(models.Model):
    """The verdict that closed an approval. Append-only; the constraint admits one."""

    class Verdict(models.TextChoices):
        APPROVE = "approve"
        EDIT = "edit"
        REJECT = "reject"

    approval = models.OneToOneField(Approval, on_delete=models.PROTECT)
    verdict = models.CharField(max_length=8, choices=Verdict)
    text = models.TextField(blank=True)  # what the user gets
    text_sha256 = models.CharField(max_length=64)
    reason = models.TextField(blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    decided_at = models.DateTimeField(default=timezone.now)

    objects = DecisionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="moderation_decision_rejection_has_reason",
                condition=~Q(verdict="reject") | ~Q(reason=""),
            ),
            models.CheckConstraint(
                name="moderation_decision_sends_no_empty_text",
                condition=Q(verdict="reject") | ~Q(text=""),
            ),
        ]
        indexes = [
            # The queue lists the latest decisions.
            models.Index(
                name="moderation_decision_latest", fields=["-decided_at", "-id"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verdict} on {self.approval_id}"
