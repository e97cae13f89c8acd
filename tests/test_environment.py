"""Settings from the environment: files, TLS and errors that name the variable."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db.backends.postgresql.base import DatabaseWrapper
from psycopg.conninfo import conninfo_to_dict

from agents import host
from controlplane import environment

URL = (
    "postgresql://app:it%27s%20%5Ca@db.example:6432/main?sslmode=verify-full"
    "&sslrootcert=/etc/ca%20file.pem&sslcert=/etc/c.pem&sslkey=/etc/k.pem"
)


def test_kafka_s_properties_come_from_variables_and_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("it's a secret\n")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9093")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SSL_CA_LOCATION", "/etc/ca.pem")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD_FILE", str(secret))

    assert environment.kafka_client() == {
        "bootstrap.servers": "kafka.example:9093",
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": "/etc/ca.pem",
        "sasl.password": "it's a secret",
    }


def test_tls_of_the_database_reaches_django_and_plain_psycopg(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)
    database = environment.database("DATABASE_URL", "")
    tls = {
        "sslmode": "verify-full",
        "sslrootcert": "/etc/ca file.pem",
        "sslcert": "/etc/c.pem",
        "sslkey": "/etc/k.pem",
    }
    assert database["OPTIONS"] == tls

    wrapper = DatabaseWrapper(_with_defaults(database))
    monkeypatch.setattr(host, "connections", {"default": wrapper})
    assert conninfo_to_dict(host.conninfo()) == tls | {
        "dbname": "main",
        "user": "app",
        "password": "it's \\a",
        "host": "db.example",
        "port": "6432",
        "client_encoding": "UTF8",
    }


def _with_defaults(database: dict[str, Any]) -> dict[str, Any]:
    own = {"pool": True, "prepare_threshold": 5}  # Django's, not libpq's
    return {
        "CONN_MAX_AGE": 0,
        "TIME_ZONE": None,
        **database,
        "OPTIONS": database["OPTIONS"] | own,
    }


def test_a_bad_value_is_refused_with_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME", "many")
    monkeypatch.setenv("FAR_URL", "postgresql://db:many/main")
    monkeypatch.setenv("OTHER_URL", "mysql://db/main")
    monkeypatch.setenv("SECRET_FILE", "/nowhere")

    with pytest.raises(environment.SettingError, match="SOME must be a number"):
        environment.number("SOME", 1)
    with pytest.raises(environment.SettingError, match="SOME must be true or false"):
        environment.flag("SOME", default=True)
    with pytest.raises(environment.SettingError, match="FAR_URL has a bad port"):
        environment.database("FAR_URL", "")
    with pytest.raises(environment.SettingError, match="OTHER_URL must be"):
        environment.database("OTHER_URL", "")
    for url, says in {
        "http://mail.example": "MAIL_URL must be an smtp:// or smtps:// URL",
        "smtp://": "MAIL_URL must be an smtp:// or smtps:// URL",
        "smtp://mail.example:many": "MAIL_URL has a bad port",
    }.items():
        monkeypatch.setenv("MAIL_URL", url)
        with pytest.raises(environment.SettingError, match=says):
            environment.mail_server("MAIL_URL", "us@interlock.example")
    monkeypatch.setenv("MAIL_URL", "smtp://mail.example")
    with pytest.raises(environment.SettingError, match="INTERLOCK_MAIL_FROM"):
        environment.mail_server("MAIL_URL", "")
    with pytest.raises(environment.SettingError, match="SECRET_FILE cannot be read"):
        environment.text("SECRET")


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://m.example", ("m.example", 587, "", "", "starttls")),
        ("smtps://a:it%27s@m.example", ("m.example", 465, "a", "it's", "tls")),
        ("smtp://m.example:25?tls=none", ("m.example", 25, "", "", "none")),
        ("smtps://m.example?tls=none", ("m.example", 465, "", "", "tls")),
    ],
)
def test_mail_is_encrypted_unless_it_is_said_otherwise(
    monkeypatch: pytest.MonkeyPatch, url: str, server: tuple[object, ...]
) -> None:
    assert environment.mail_server("NO_SUCH_NAME", "") is None
    monkeypatch.setenv("MAIL_URL", url)

    assert environment.mail_server("MAIL_URL", "us@x.example") == (
        *server,
        "us@x.example",
    )


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("redis://v/0", "redis://v/0"),
        ("rediss://v/0", "rediss://v/0?ssl_cert_reqs=required"),
        (
            "rediss://v/0?ssl_ca_certs=/ca",
            "rediss://v/0?ssl_ca_certs=/ca&ssl_cert_reqs=required",
        ),
        ("rediss://v/0?ssl_cert_reqs=none", "rediss://v/0?ssl_cert_reqs=none"),
    ],
)
def test_valkey_s_certificate_is_checked_unless_it_is_said_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: str, used: str
) -> None:
    monkeypatch.setenv("SOME_URL", given)

    assert environment.valkey("SOME_URL", "") == used


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("many", "LIMIT must be a number, not 'many'"),
        ("-1", "LIMIT must be 0 or more, not '-1'"),
        ("nan", "LIMIT must be 0 or more, not 'nan'"),
        ("inf", "LIMIT must be 0 or more, not 'inf'"),
        ("0.5", "LIMIT must be a whole number, not '0.5'"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str, complaint: str
) -> None:
    monkeypatch.setenv("LIMIT", value)

    with pytest.raises(environment.SettingError, match=complaint):
        environment.count("LIMIT", 10)


def test_a_threshold_may_be_nothing_or_have_a_fraction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert environment.count("LIMIT", 10_000) == 10_000
    monkeypatch.setenv("LIMIT", "0")
    assert environment.count("LIMIT", 10) == 0
    monkeypatch.setenv("LIMIT", "0.5")
    assert environment.amount("LIMIT", 1) == 0.5


def test_a_wrong_threshold_ends_the_start_with_a_word() -> None:
    started = subprocess.run(
        [sys.executable, "-c", "import controlplane.settings"],
        env=os.environ | {"INTERLOCK_ALERT_LAG_RECORDS": "lots"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert started.returncode != 0
    assert "INTERLOCK_ALERT_LAG_RECORDS must be a number, not 'lots'" in started.stderr
