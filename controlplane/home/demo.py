"""Demo data: people, tiers, the dealer's rules. Running it again changes nothing."""

import os

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from django.db import transaction

from agents.topics import TIERS
from controlplane.accounts.actions import set_teams
from controlplane.audit import actions as audit
from controlplane.routing.actions import route_tier, save_backend
from controlplane.routing.models import Backend, Tier
from guardrails import actions as guardrails
from guardrails.dealer import DEALER
from guardrails.models import Publication

TEAMS_OF = {
    "mira": ("discount", "finance", "legal", "general"),
    "jonas": ("discount", "general"),
}
PEOPLE = {
    "ada": "admin",
    "mira": "moderator",
    "jonas": "moderator",
    "lena": "lead",
    "vera": "viewer",
    "otto": "auditor",
}
FALLBACK_TEXT = "I cannot answer that right now. A colleague will get back to you."
REASON = "demo data"


@transaction.atomic
def seed(password: str) -> list[User]:
    """Create what is missing; return the people who were created."""
    there = User.objects.filter(username__in=PEOPLE).values_list("username", flat=True)
    missing = PEOPLE.keys() - set(there)
    # Once: made to be slow, and the same for all.
    hashed = make_password(password) if missing else ""
    created = [
        _person(name, role, hashed) for name, role in PEOPLE.items() if name in missing
    ]
    admin = User.objects.get(username="ada")
    backend = Backend.objects.filter(name="demo").first()
    if backend is None:
        model = os.environ.get("OPENAI_MODEL", "interlock-demo")
        backend = Backend(name="demo", model=model)
        save_backend(backend, reason=REASON, actor=admin)
    for tier in TIERS:
        if not Tier.objects.filter(name=tier).exists():
            route_tier(
                tier,
                backend=backend,
                fallback_text=FALLBACK_TEXT,
                reason=REASON,
                actor=admin,
            )
    if not Publication.objects.exists():
        guardrails.save_rules(DEALER, editor=admin)
        guardrails.publish(reason=REASON, publisher=admin)
    return created


def _person(name: str, role: str, hashed: str) -> User:
    user = User.objects.create(username=name, password=hashed, is_staff=role == "admin")
    user.groups.add(Group.objects.get(name=role))
    audit.record("seed_demo", "user_created", f"user:{name}", detail={"role": role})
    set_teams(user, TEAMS_OF.get(name, ()), editor="seed_demo")
    return user
