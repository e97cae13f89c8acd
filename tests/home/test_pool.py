"""The web's pool of connections after PostgreSQL was away."""

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection

from agents.host import conninfo

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_connection_that_died_in_the_pool_is_not_given_out() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    connection.close()
    with psycopg.connect(conninfo(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    assert not User.objects.exists()
