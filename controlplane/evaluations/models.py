"""Evaluations of rules on labelled texts that somebody has put in: how far each is, and what it has found."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from controlplane.jobs import UNFINISHED, Job, JobQuerySet


class EvaluationQuerySet(JobQuerySet["Evaluation"]):
    def light(self) -> "EvaluationQuerySet":
        """Without what is long."""
        return self.select_related("started_by").defer("rules_body", "texts", "result")


class Evaluation(Job):
    """texts: the rows of the file, which only an evaluation has that is not finished. result: figures and a few samples.

    Both are JSON as bytes, since texts may have characters that PostgreSQL's texts cannot.
    """

    class Rules(models.TextChoices):
        DRAFT = "draft", "the draft"
        IN_FORCE = "in force", "what is in force"

    AT_END: ClassVar[dict[str, Any]] = {"texts": None}

    file = models.CharField(max_length=200)
    rules = models.CharField(max_length=8, choices=Rules)
    ruleset_hash = models.CharField(max_length=64)
    rules_body = models.BinaryField()
    texts = models.BinaryField(null=True)
    result = models.BinaryField(null=True)

    objects = models.Manager.from_queryset(EvaluationQuerySet)()

    class Meta(Job.Meta):
        abstract = False
        constraints = [
            *Job.Meta.constraints,
            models.CheckConstraint(
                name="evaluations_evaluation_forgets_texts_at_its_end",
                condition=Q(state__in=UNFINISHED) | Q(texts=None),
            ),
        ]
        indexes = [
            # Workers look for the oldest that is not finished.
            models.Index(
                name="evaluations_unfinished",
                fields=["requested_at"],
                condition=Q(state__in=UNFINISHED),
            ),
        ]
