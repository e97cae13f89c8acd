"""A connection as the role that owns the tables: for what the application may not do."""

from typing import Any

import psycopg
from django.db import connections


def connect_as_owner() -> "psycopg.Connection[tuple[Any, ...]]":
    owner = connections["owner"].settings_dict
    return psycopg.connect(
        dbname=owner["NAME"],
        user=owner["USER"],
        password=owner["PASSWORD"],
        host=owner["HOST"],
        port=owner["PORT"],
        autocommit=True,
    )
