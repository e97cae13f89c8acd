"""Keeps a restored database from everybody until it knows what came after its backup."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections

from controlplane.audit.permissions import grant

_ALL = ("TABLES", "SEQUENCES")


@contextmanager
def owner_alone() -> Iterator[None]:
    """Take the application's rights away, and give them back if all went well.

    Whatever ends this process meanwhile, no worker and no site can read or write. Inside, the
    default connection is the owner's. Where one role does both, nothing can be taken away.
    """
    default, owner = (connections[name].settings_dict for name in ("default", "owner"))
    owner = {name: owner[name] for name in ("USER", "PASSWORD")}
    role = settings.DATABASES["default"]["USER"]
    if owner["USER"] == role:
        yield
        return
    _revoke(role)
    kept = {name: default[name] for name in owner}
    _become(owner)
    try:
        yield
    finally:
        _become(kept)
    grant(apps.get_app_config("audit"), using="owner")


def _become(account: dict[str, Any]) -> None:
    """Have the default connection made anew as this role."""
    connections["default"].close()
    connections["default"].close_pool()  # type: ignore[attr-defined]
    connections["default"].settings_dict.update(account)


def _revoke(role: str) -> None:
    quoted = connections["owner"].ops.quote_name(role)
    with connections["owner"].cursor() as cursor:
        for kind in _ALL:
            cursor.execute(f"REVOKE ALL ON ALL {kind} IN SCHEMA public FROM {quoted}")
