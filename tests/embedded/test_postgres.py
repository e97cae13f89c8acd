"""What the two roles of the embedded PostgreSQL may and may not do."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from controlplane.embedded import services
from controlplane.embedded.services import Services
from tests.embedded.launching import running, want


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    data_dir = tmp_path_factory.mktemp("postgres") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        want(monkeypatch, "postgres")
        with running(data_dir) as postgres:
            yield postgres
    services.remove(data_dir)


def test_the_application_may_not_create_tables(started: Services) -> None:
    with (
        psycopg.connect(started.environment["DATABASE_URL"]) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("CREATE TABLE mine (id int)")


def test_the_application_uses_what_the_owner_grants_it(started: Services) -> None:
    with psycopg.connect(started.environment["DATABASE_OWNER_URL"]) as owner:
        owner.execute("CREATE TABLE granted (place vector(2))")
        owner.execute("GRANT SELECT, INSERT ON granted TO interlock")

    with psycopg.connect(started.environment["DATABASE_URL"]) as application:
        application.execute("INSERT INTO granted VALUES ('[1,2]')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            application.execute("DELETE FROM granted")


def test_the_owner_creates_databases_that_know_vectors(started: Services) -> None:
    address = started.environment["DATABASE_OWNER_URL"]
    with psycopg.connect(address, autocommit=True) as owner:
        owner.execute("CREATE DATABASE another")

    with psycopg.connect(
        urlsplit(address)._replace(path="/another").geturl()
    ) as another:
        assert another.execute("SELECT '[1,2]'::vector <-> '[1,2]'").fetchone() == (
            0.0,
        )


def test_a_wrong_password_is_refused(started: Services) -> None:
    address = urlsplit(started.environment["DATABASE_URL"])
    wrong = address._replace(
        netloc=f"interlock:wrong@{address.netloc.rpartition('@')[2]}"
    )

    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(wrong.geturl())


def test_passwords_are_readable_by_their_owner_alone(started: Services) -> None:
    assert started.postgres
    file = started.postgres.data_dir / "passwords.json"

    assert file.stat().st_mode & 0o777 == 0o600
