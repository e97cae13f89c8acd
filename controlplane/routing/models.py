"""Tiers of users and the model backends that answer them."""

from django.db import models
from django.db.models import Q


class Backend(models.Model):
    """An endpoint that speaks the OpenAI API. The key is named here and kept in the environment."""

    name = models.SlugField(unique=True)
    base_url = models.URLField(
        blank=True, help_text="Empty: OPENAI_BASE_URL of the environment."
    )
    model = models.CharField(max_length=200)
    key_variable = models.CharField(max_length=100, default="OPENAI_API_KEY")
    timeout_s = models.FloatField(default=30)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="routing_backend_timeout_is_positive", condition=Q(timeout_s__gt=0)
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Tier(models.Model):
    """A class of users: who answers them, and what they hear when nobody can."""

    name = models.SlugField(unique=True)
    backend = models.ForeignKey(Backend, on_delete=models.PROTECT)
    fallback_text = models.TextField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="routing_tier_has_fallback_text", condition=~Q(fallback_text="")
            ),
        ]

    def __str__(self) -> str:
        return self.name
