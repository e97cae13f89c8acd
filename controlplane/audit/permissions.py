"""What the application's database role may do: everything to most tables, append to some."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db import connections

# History: inserted and read, never changed.
APPEND_ONLY = (
    "audit_entry",
    "moderation_decision",
    "guardrails_ruleset",
    "guardrails_ruleversion",
    "guardrails_publication",
    "traces_record",
    "traces_payload",
    "chat_duplicate",
)


def grant(sender: AppConfig, using: str, **_: Any) -> None:
    """Run after each migration by the owner. Nothing to grant where one role does both."""
    role = settings.DATABASES["default"]["USER"]
    connection = connections[using]
    if using != "owner" or connection.settings_dict["USER"] == role:
        return
    quoted = connection.ops.quote_name(role)
    with connection.cursor() as cursor:
        cursor.execute(f"GRANT USAGE ON SCHEMA public TO {quoted}")
        cursor.execute(
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {quoted}"
        )
        cursor.execute(
            f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {quoted}"
        )
        for table in _with_partitions(cursor):
            cursor.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {quoted}")


def _with_partitions(cursor: Any) -> list[str]:
    """Return quoted names. A partition that is named directly has rights of its own."""
    cursor.execute(
        "SELECT relid::regclass::text FROM unnest(%s::regclass[]) AS root(id), "
        "pg_partition_tree(root.id) UNION SELECT root.id::text FROM unnest(%s::regclass[]) AS root(id)",
        [list(APPEND_ONLY), list(APPEND_ONLY)],
    )
    return [row[0] for row in cursor.fetchall()]
