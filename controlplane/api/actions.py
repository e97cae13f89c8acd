"""Every write to kept answers."""

from typing import Any

from django.db import connection

from controlplane.accounts.models import ApiToken
from controlplane.api.models import KeptAnswer
from controlplane.audit.actions import OutsideTransactionError


class KeyTakenError(Exception):
    """Another request with this key was first. What this one did must be rolled back."""


def keep_answer(
    token: ApiToken, *, key: str, request_sha256: str, status: int, body: Any
) -> KeptAnswer:
    """Keep the answer in the transaction that acts, so that both commit or neither.

    Waits for a request with the same key that is about to commit; KeyTakenError if it did.
    """
    if not connection.in_atomic_block:
        raise OutsideTransactionError(key)
    KeptAnswer.objects.stale().filter(token=token, key=key).delete()
    row, is_new = KeptAnswer.objects.get_or_create(
        token=token,
        key=key,
        defaults={"request_sha256": request_sha256, "status": status, "body": body},
    )
    if not is_new:
        raise KeyTakenError(key)
    return row


def change_answer(row: KeptAnswer, *, status: int, body: Any) -> None:
    """The answer of the request that kept it, after it has found out more."""
    row.status, row.body = status, body
    row.save(update_fields=["status", "body"])


def forget_answers() -> int:
    """Remove what was kept for long enough; return how many."""
    count, _ = KeptAnswer.objects.stale().delete()
    return count
