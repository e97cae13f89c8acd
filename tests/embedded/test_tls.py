"""Services with TLS and passwords, reached by what docs/operations.md says: variables alone.

Kafka does its TLS itself. The PostgreSQL and Valkey of our wheels are built without it, so a
front ends it for them, as a pooler or a proxy in front of either does.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from controlplane.embedded import services
from controlplane.embedded.kafka import Kafka
from controlplane.embedded.model import ROOT
from tests.embedded.launching import running, want
from tests.embedded.tls import Authority, make_authority, tls_in_front
from tests.ports import own_port

PASSWORD = "with spaces; and = signs"
JAAS = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required "
    f'user_interlock="{PASSWORD}";'
)
Variables = dict[str, str]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def wrong_ca(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_authority(tmp_path_factory.mktemp("tls") / "another").ca)


@pytest.fixture(scope="module")
def kafka(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[dict[str, str]]:
    """Yield the addresses of its listeners."""
    plain, controller, tls, sasl = (own_port(9700 + 10 * n) for n in range(4))
    server = Kafka(
        tmp_path_factory.mktemp("kafka"),
        [(plain, controller)],
        properties={
            "listeners": f"PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},"
            f"SSL://127.0.0.1:{tls},SASL_SSL://127.0.0.1:{sasl}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},"
            f"SSL://localhost:{tls},SASL_SSL://localhost:{sasl}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(authority.server),
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": JAAS,
        },
    )
    server.start(lambda _line: None)
    yield {"SSL": f"localhost:{tls}", "SASL_SSL": f"localhost:{sasl}"}
    server.stop()


@pytest.fixture(scope="module")
def databases(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[Variables]:
    """Yield DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL without what TLS adds to them."""
    data_dir = tmp_path_factory.mktemp("databases") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        want(monkeypatch, "postgres", "valkey")
        with running(data_dir) as started:
            given = started.environment
            with (
                tls_in_front(
                    _port(given["DATABASE_URL"]), authority, speaks_postgres=True
                ) as postgres,
                tls_in_front(_port(given["REDIS_URL"]), authority) as pushes,
            ):
                yield {
                    name: f"{_before_host(url)}@localhost:{postgres}/interlock"
                    for name, url in given.items()
                    if name.startswith("DATABASE")
                } | {"REDIS_URL": f"rediss://localhost:{pushes}/0"}
    services.remove(data_dir)


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port
    return port


def _before_host(url: str) -> str:
    return url.rpartition("@")[0]


def kafka_variables(kafka: Variables, protocol: str, ca: str | Path) -> Variables:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka[protocol],
        "KAFKA_SECURITY_PROTOCOL": protocol,
        "KAFKA_SSL_CA_LOCATION": str(ca),
    }


def sasl_variables(kafka: Variables, ca: str | Path, password: Path) -> Variables:
    return kafka_variables(kafka, "SASL_SSL", ca) | {
        "KAFKA_SASL_MECHANISM": "PLAIN",
        "KAFKA_SASL_USERNAME": "interlock",
        "KAFKA_SASL_PASSWORD_FILE": str(password),
    }


def database_variables(databases: Variables, ca: str | Path) -> Variables:
    tls = f"?sslmode=verify-full&sslrootcert={ca}"
    return {
        name: databases[name] + tls for name in ("DATABASE_URL", "DATABASE_OWNER_URL")
    }


def valkey_variables(databases: Variables, ca: str | Path) -> Variables:
    return {"REDIS_URL": f"{databases['REDIS_URL']}?ssl_ca_certs={ca}"}


def use(variables: Variables, *names: str) -> "subprocess.CompletedProcess[str]":
    """Run clients in a process that knows of its services by the environment alone."""
    ours = ("KAFKA_", "DATABASE_", "REDIS_", "OPENAI_", "INTERLOCK_")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return subprocess.run(
        [sys.executable, "-m", "tests.embedded.tls_client", *names],
        cwd=ROOT,
        env=clean | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refusal(variables: Variables, name: str) -> str:
    done = use(variables, name)
    assert done.returncode != 0, done.stdout
    return done.stderr


def test_everything_works_by_tls(
    kafka: Variables, databases: Variables, authority: Authority
) -> None:
    done = use(
        kafka_variables(kafka, "SSL", authority.ca)
        | database_variables(databases, authority.ca)
        | valkey_variables(databases, authority.ca),
        "kafka",
        "postgres",
        "pushes",
        "celery",
        "control_room",
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:3] == ["postgresql up", "kafka up", "valkey up"]


def test_a_record_goes_through_kafka_by_tls_and_a_password(
    kafka: Variables, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")

    done = use(sasl_variables(kafka, authority.ca, tmp_path / "password"), "kafka")

    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_kafka_with_another_authority_is_refused(
    kafka: Variables, wrong_ca: str
) -> None:
    said = refusal(kafka_variables(kafka, "SSL", wrong_ca), "kafka_ping")

    # In the words of librdkafka or in those of OpenSSL, whichever came first.
    assert re.search("certificate (could not be verified|verify failed)", said)


def test_a_wrong_password_of_kafka_is_refused(
    kafka: Variables, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("another")
    variables = sasl_variables(kafka, authority.ca, tmp_path / "password")

    said = refusal(variables, "kafka_ping")

    assert "SASL authentication error: Authentication failed" in said


@pytest.mark.long
def test_postgresql_with_another_authority_is_refused(
    databases: Variables, wrong_ca: str
) -> None:
    said = refusal(database_variables(databases, wrong_ca), "postgres")

    assert f"port {_port(databases['DATABASE_URL'])}" in said
    assert "SSL error: certificate verify failed" in said


def test_valkey_with_another_authority_is_refused(
    databases: Variables, wrong_ca: str
) -> None:
    unheard = {"WAIT_S": "2"}  # a push that is lost is no error: nothing comes
    said = refusal(valkey_variables(databases, wrong_ca) | unheard, "pushes")

    assert f"localhost:{_port(databases['REDIS_URL'])}" in said
    assert "certificate verify failed" in said


def test_celery_checks_a_certificate_without_being_told_to(
    databases: Variables,
) -> None:
    said = refusal({"REDIS_URL": databases["REDIS_URL"]}, "celery")

    assert "certificate verify failed" in said
