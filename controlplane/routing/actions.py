"""Every write to tiers and backends."""

from django.contrib.auth.models import User
from django.db import transaction

from controlplane.routing.models import Backend, Tier
from controlplane.runtime.actions import change_control


@transaction.atomic
def route_tier(
    name: str, *, backend: Backend, fallback_text: str, reason: str, actor: User
) -> Tier:
    """Set who answers a tier, and what its users hear when nobody can."""
    tier, _ = Tier.objects.update_or_create(
        name=name, defaults={"backend": backend, "fallback_text": fallback_text}
    )
    change_control(
        kind="tier_routed",
        subject=f"tier:{name}",
        actor=actor,
        reason=reason,
        detail={"backend": backend.name},
    )
    return tier


@transaction.atomic
def save_backend(backend: Backend, *, reason: str, actor: User) -> None:
    backend.save()
    change_control(
        kind="backend_saved",
        subject=f"backend:{backend.name}",
        actor=actor,
        reason=reason,
        detail={"model": backend.model, "base_url": backend.base_url},
    )
