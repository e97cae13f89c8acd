"""The roles, as groups of Django permissions."""

from typing import Any

from django.apps import AppConfig, apps

_READ = [
    "moderation.view_approval",
    "traces.view_tracerecord",
    "runtime.view_heartbeat",
    "stops.view_stop",
    "effects.view_effect",
]
VIEWER = [*_READ, "moderation.view_every_team"]
MODERATOR = [
    *_READ,
    "moderation.decide_approval",
    "chat.add_correction",
    "effects.decide_effect",
    "accounts.view_apitoken",
    "accounts.add_apitoken",
    "accounts.change_apitoken",
]
LEAD = [
    *MODERATOR,
    "moderation.view_every_team",
    "moderation.view_decision",
    "moderation.override_guardrail",
    "guardrails.view_rule",
    "deadletters.view_letter",
    "deadletters.decide_letter",
    "accounts.view_team",
    "accounts.change_team",
]
RULES = [f"guardrails.{verb}_rule" for verb in ("add", "change", "delete", "view")]
EVALUATIONS = [f"evaluations.{verb}_evaluation" for verb in ("add", "delete", "view")]
PEOPLE = [f"auth.{verb}_user" for verb in ("add", "change", "view")]
ADMIN = [
    *LEAD,
    *RULES,
    "guardrails.view_ruleset",
    "guardrails.view_publication",
    "guardrails.add_publication",
    "backtests.view_sample",
    *EVALUATIONS,
    "stops.add_stop",
    "stops.change_stop",
    "stops.change_stoprule",
    "routing.view_tier",
    "routing.change_tier",
    "routing.view_backend",
    "routing.change_backend",
    "audit.view_entry",
    *PEOPLE,
    "accounts.add_team",
    "accounts.delete_team",
]
AUDITOR = [
    *VIEWER,
    "moderation.view_decision",
    "guardrails.view_rule",
    "guardrails.view_ruleset",
    "guardrails.view_publication",
    "evaluations.view_evaluation",
    "routing.view_tier",
    "routing.view_backend",
    "audit.view_entry",
    "traces.view_tracepayload",
    "backtests.view_sample",
    "deadletters.view_letter",
    "auth.view_user",
    "accounts.view_team",
    "accounts.view_apitoken",
]
ADMINISTRATOR = "admin"
ROLES = {
    "viewer": VIEWER,
    "moderator": MODERATOR,
    "lead": LEAD,
    "admin": ADMIN,
    "auditor": AUDITOR,
}
# As people are told who choose one; docs/accounts.md has the same words.
WORDS = {
    "viewer": "Sees the control room, the queue, outgoing mail, traces and stops; changes nothing.",
    "moderator": "Decides on what is held for their teams and on mail that is held, sends corrections, and makes API tokens of their own.",
    "lead": "Also decides for every team and says who is in which, overrides guardrails, sees to dead letters.",
    "admin": "Also changes rules, routing and stops, manages people, and reads the audit log.",
    "auditor": "Reads everything, with raw payloads and the audit log; changes nothing.",
}


def ensure_roles(sender: AppConfig, using: str, **_: Any) -> None:
    """Bring the groups in line with the table above, after each migration."""
    from django.contrib.auth.management import create_permissions  # noqa: PLC0415
    from django.contrib.auth.models import Group, Permission  # noqa: PLC0415

    for config in apps.get_app_configs():
        create_permissions(config, using=using, verbosity=0)
    codes = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.using(using).select_related("content_type")
    }
    for role, wanted in ROLES.items():
        group, _created = Group.objects.using(using).get_or_create(name=role)
        group.permissions.set([codes[code] for code in wanted])
