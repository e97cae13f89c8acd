"""Fixtures of the whole suite: real services, a database of its own, people and rows."""

import gc
import importlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test import TransactionTestCase
from psycopg.sql import SQL, Composed, Identifier
from tenacity import retry, retry_if_exception_type, stop_after_attempt

import controlplane.settings
from agents.topic_setup import ensure_topics
from agents.topics import TOPICS
from controlplane.embedded import services as embedded
from controlplane.embedded.services import Services
from tests.browser import chromium

ROOT = Path(__file__).resolve().parent.parent
# Test processes that run side by side have services of their own.
RUN_DIR = ROOT / ".run" / f"test-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
TEST_DATABASE = "test_interlock"
settings.WHITENOISE_AUTOREFRESH = True  # looks for files when asked, as in development
# Kafkas of tests live for seconds: what Java's second compiler would give, they never get back.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")
# Slow hashing is for real passwords.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Of those that run the product, what takes half a minute and more.
LONGEST = {
    "test_editor_walk",
    "test_guard_under_load",
    "test_host",
    "test_published_rules",
}
# What migrations put there stays between tests.
KEPT_TABLES = (
    "accounts_team",
    "auth_group",
    "auth_group_permissions",
    "auth_permission",
    "django_content_type",
    "django_migrations",
    "runtime_controlversion",
)

APPEND_ONLY_TABLES = {"audit_entry"}  # a trigger refuses DELETE


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    _mark(items)
    _arrange(items)


def pytest_collection_finish() -> None:
    """What was imported is there to stay. Looking through it takes the collector half a second, and a rule has 50 ms."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup() -> None:
    """Begin with a connection that is alive: an earlier test may have restarted PostgreSQL."""
    default = connections["default"]
    if default.connection is None or default.in_atomic_block:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # beside Playwright's loop too
        default.close()


def _arrange(items: list[pytest.Item]) -> None:
    """Put the long files first, and last those that run the product beside the tests.

    So both processes end at about the same time, and the product's workers take nothing that
    tests of this process write for themselves. Within each part the order stays random.
    """

    def place(item: pytest.Item) -> tuple[int, bool]:
        if item.nodeid.startswith(("tests/soak/", "tests/embedded/")):
            return 0, False
        if item.nodeid.startswith("tests/e2e/"):
            return 2, item.path.stem not in LONGEST
        return 1, False

    items.sort(key=place)


def _mark(items: list[pytest.Item]) -> None:
    """Mark what needs services, so that `make test-fast` can leave it out."""
    wanted = {"services", "db", "transactional_db"}
    with_their_own = ("tests/e2e/", "tests/soak/", "tests/embedded/", "tests/test_")
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if (
            fixtures & wanted
            or item.get_closest_marker("django_db")
            or item.nodeid.startswith(with_their_own)
        ):
            item.add_marker(pytest.mark.services)


@pytest.fixture(scope="session", autouse=True)
def _chromium() -> Iterator[None]:
    yield
    chromium.end()


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """Kafka, PostgreSQL, Valkey and the demo model, with data and ports of their own."""
    embedded.remove(RUN_DIR)
    given = {name: os.environ.pop(name, None) for name in _URLS}
    running = embedded.start(RUN_DIR)
    assert running.postgres is not None
    start_again = running.postgres.start

    def start_postgres() -> None:
        """After a restart Django's connection of this thread is a dead one."""
        start_again()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # async tests do it too
            if not connections["default"].in_atomic_block:
                connections["default"].close()

    running.postgres.start = start_postgres  # type: ignore[method-assign]
    os.environ.update(running.environment)
    _apply_environment()
    yield running
    running.stop()
    for name, value in given.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


_URLS = (
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "REDIS_URL",
    "KAFKA_BOOTSTRAP_SERVERS",
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    "INTERLOCK_EMBEDDINGS_URL",
    "INTERLOCK_MODERATION_URL",
)


# Databases are updated in place; the others are what the test runner has set.
_TESTS_OWN = {"DATABASES", "ALLOWED_HOSTS", "DEBUG"}


def _apply_environment() -> None:
    """Let Django see the services that were started after it was set up."""
    fresh = importlib.reload(controlplane.settings)
    for name in dir(fresh):
        if name.isupper() and name not in _TESTS_OWN:
            setattr(settings, name, getattr(fresh, name))
    for alias, database in fresh.DATABASES.items():
        settings.DATABASES[alias].update(database)
        connections[alias].settings_dict.update(database)


@pytest.fixture(scope="session")
def kafka_topics(services: Services) -> None:
    """The topics, once in a session."""
    ensure_topics(settings.KAFKA, TOPICS.values(), create=True)


@pytest.fixture(scope="session")
def django_db_setup(services: Services, django_db_blocker: Any) -> Iterator[None]:
    """Make a database as the owner; the tests use it as the application's role does."""
    owner = services.environment["DATABASE_OWNER_URL"]
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {TEST_DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {TEST_DATABASE}")
    for alias in ("default", "owner"):
        connections[alias].settings_dict["NAME"] = TEST_DATABASE
    with django_db_blocker.unblock():
        call_command("migrate", database="owner", verbosity=0)
        connections["owner"].close()
    TransactionTestCase._fixture_teardown = _empty  # type: ignore[attr-defined]
    yield
    _owner().close()
    with django_db_blocker.unblock():
        connections.close_all()
        connections["default"].close_pool()  # type: ignore[attr-defined]


def _empty(_: TransactionTestCase) -> None:
    """Empty the tables after a test that commits. The application's role may not.

    Only those that hold rows, and by DELETE where that is allowed: to truncate all of them takes 60 ms.
    """
    connections["default"].close()
    _emptying()


@retry(
    retry=retry_if_exception_type(psycopg.OperationalError), stop=stop_after_attempt(2)
)
def _emptying() -> None:
    """Begun anew if an earlier test has restarted PostgreSQL."""
    try:
        _delete_rows(_owner())
    except psycopg.OperationalError:
        _owner.cache_clear()
        raise


@cache
def _owner() -> psycopg.Connection[Any]:
    """One for all tests: a new one takes 20 ms until it knows all tables."""
    owner = connections["owner"].settings_dict
    return psycopg.connect(
        dbname=owner["NAME"],
        user=owner["USER"],
        password=owner["PASSWORD"],
        host=owner["HOST"],
        port=owner["PORT"],
        autocommit=True,
    )


@retry(
    retry=retry_if_exception_type(
        (psycopg.errors.DeadlockDetected, psycopg.errors.ForeignKeyViolation)
    ),
    stop=stop_after_attempt(5),
)
def _delete_rows(connection: psycopg.Connection[Any]) -> None:
    """What a page asked just before it was closed may still write, and then one of two has to yield."""
    filled = connection.execute(_filled(tuple(_tables(connection)))).fetchall()
    names = [name for (name,) in filled]
    with connection.transaction():
        connection.execute("SET CONSTRAINTS ALL DEFERRED")
        for name in names:
            how = "TRUNCATE" if name in APPEND_ONLY_TABLES else "DELETE FROM"
            connection.execute(SQL(how + " {}").format(Identifier(name)))
        connection.execute(_RESTART, [names])


def _tables(connection: psycopg.Connection[Any]) -> list[str]:
    rows = connection.execute(_TABLES, [list(KEPT_TABLES)])
    return [name for (name,) in rows]


@cache
def _filled(tables: tuple[str, ...]) -> Composed:
    """Return the question which of them hold rows."""
    asked = [
        SQL("SELECT {} WHERE EXISTS (SELECT 1 FROM {})").format(name, Identifier(name))
        for name in tables
    ]
    return SQL(" UNION ALL ").join(asked)


_TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relname <> ALL(%s)
"""
_RESTART = """
SELECT setval(s.oid::regclass, 1, false) FROM pg_class s JOIN pg_depend d ON d.objid = s.oid
JOIN pg_class c ON c.oid = d.refobjid WHERE s.relkind = 'S' AND c.relname = ANY(%s)
"""
