"""The web's pool of connections after PostgreSQL was away."""

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection

from agents.host import conninfo

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_connection_that_died_in_the_pool_is_not_given_out() -> None:
    assert not User.objects.exists()
    connection.close()
    with psycopg.connect(conninfo(), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE usename = current_user AND pid <> pg_backend_pid()"
        )

    assert not User.objects.exists()
