"""What was answered under an Idempotency-Key, for a day."""

from datetime import timedelta

from django.db import models
from django.utils import timezone

from controlplane.accounts.models import ApiToken

KEPT_FOR = timedelta(hours=24)


class KeptAnswerQuerySet(models.QuerySet["KeptAnswer"]):
    def fresh(self) -> "KeptAnswerQuerySet":
        return self.filter(created_at__gt=timezone.now() - KEPT_FOR)

    def stale(self) -> "KeptAnswerQuerySet":
        return self.filter(created_at__lte=timezone.now() - KEPT_FOR)


class KeptAnswer(models.Model):
    """The first answer to a request; the same request with the same key gets it again."""

    token = models.ForeignKey(ApiToken, on_delete=models.CASCADE, db_index=False)
    key = models.CharField(max_length=100)
    request_sha256 = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    body = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    objects = KeptAnswerQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="api_kept_answer_is_one_per_token_and_key",
                fields=["token", "key"],
            ),
        ]
        indexes = [
            # Those of yesterday are removed.
            models.Index(name="api_kept_answer_age", fields=["created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.status} under {self.key}"
