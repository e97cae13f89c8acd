"""Outside a developer's machine nothing starts with what others could use: each fault says what to set."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from controlplane.checks import faults, secrets_of

ROOT = Path(__file__).resolve().parents[2]
# As random as it gets without being so.
SECRETS = {
    "INTERLOCK_SECRET_KEY": "q8Zt1-vJ0c7Rk2_Wy5LmN3pXsD6fGhBa",
    "INTERLOCK_WIDGET_SECRET": "Tz4uH9-eQ1oYx8KjV2rMw6Cn_0bSlPi5",
    "INTERLOCK_PSEUDONYM_SECRET": "mE7dFa_3gUkO2z9RtXv-C5iL1yQnJw8h",
    "INTERLOCK_FACTOR_SECRET": "bN6sKp0wGx-Ar9Zc4MvU_1tHe8yQj2Lo",
}
RIGHT = SECRETS | {
    "INTERLOCK_DEBUG": "false",
    "INTERLOCK_HOSTS": "interlock.example",
    "INTERLOCK_ORIGINS": "https://interlock.example",
    "DATABASE_URL": "postgresql://app:pw@db.example/main?sslmode=verify-full",
    "DATABASE_OWNER_URL": "postgresql://owner:pw@db.example/main?sslmode=verify-full",
    "REDIS_URL": "rediss://:pw@valkey.example:6379/0",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9093",
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_USERNAME": "interlock",
    "KAFKA_SASL_PASSWORD": "pw",
    "OPENAI_BASE_URL": "https://models.example/v1",
    "INTERLOCK_MAIL_URL": "smtp://app:pw@mail.example",
    "INTERLOCK_MAIL_FROM": "mail@interlock.example",
}
WRONG = [
    ("INTERLOCK_SECRET_KEY", "", "INTERLOCK_SECRET_KEY is not set."),
    ("INTERLOCK_WIDGET_SECRET", "", "INTERLOCK_WIDGET_SECRET is not set."),
    ("INTERLOCK_PSEUDONYM_SECRET", "", "INTERLOCK_PSEUDONYM_SECRET is not set."),
    (
        "INTERLOCK_SECRET_KEY",
        "short-1234567890",
        "INTERLOCK_SECRET_KEY can be guessed.",
    ),
    ("INTERLOCK_SECRET_KEY", "abcabcab" * 8, "INTERLOCK_SECRET_KEY can be guessed."),
    (
        "INTERLOCK_SECRET_KEY",
        "django-insecure-q8Zt1vJ0c7Rk2Wy5LmN3pXsD6fGhBa",
        "INTERLOCK_SECRET_KEY is a placeholder.",
    ),
    (
        "INTERLOCK_WIDGET_SECRET",
        SECRETS["INTERLOCK_SECRET_KEY"],
        "INTERLOCK_SECRET_KEY and INTERLOCK_WIDGET_SECRET are alike.",
    ),
    (
        "INTERLOCK_WIDGET_SECRET",
        "widget " + SECRETS["INTERLOCK_SECRET_KEY"],
        "INTERLOCK_SECRET_KEY and INTERLOCK_WIDGET_SECRET are alike.",
    ),
    ("INTERLOCK_DEMO", "true", "The demo gives anybody a token."),
    ("INTERLOCK_HOSTS", "*", "Any host name is served."),
    (
        "INTERLOCK_ORIGINS",
        "http://interlock.example",
        "http://interlock.example cannot be trusted.",
    ),
    (
        "INTERLOCK_WIDGET_ORIGINS",
        "https://*.shop.example",
        "https://*.shop.example cannot be trusted.",
    ),
    (
        "DATABASE_URL",
        "postgresql://app:pw@db.example/main",
        "PostgreSQL is asked in the clear.",
    ),
    (
        "DATABASE_URL",
        "postgresql://app@db.example/main?sslmode=verify-full",
        "PostgreSQL lets anybody in.",
    ),
    (
        "DATABASE_URL",
        "postgresql://app:pw@db.example/main?sslmode=require",
        "Whoever answers for DATABASE_URL is believed to be it.",
    ),
    ("REDIS_URL", "redis://:pw@valkey.example:6379/0", "Valkey is asked in the clear."),
    ("REDIS_URL", "rediss://valkey.example:6379/0", "Valkey lets anybody in."),
    (
        "REDIS_URL",
        "rediss://:pw@valkey.example:6379/0?ssl_cert_reqs=none",
        "Whoever answers for REDIS_URL is believed to be it.",
    ),
    ("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT", "Kafka is asked in the clear."),
    (
        "INTERLOCK_MAIL_URL",
        "smtp://mail.example:25?tls=none",
        "the mail server is asked in the clear.",
    ),
    ("OPENAI_BASE_URL", "http://models.example/v1", "the model is asked in the clear."),
    (
        "INTERLOCK_JUDGE_URL",
        "http://judges.example/v1",
        "the model is asked in the clear.",
    ),
]
WARNINGS = "is believed to be it."


def settings_of(environment: dict[str, str]) -> Any:
    """Return the product's settings as a process with this environment has them, without one."""
    kept = {name: value for name, value in os.environ.items() if not _is_ours(name)}
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - kept.keys():
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        found: dict[str, Any] = {}
        code = (ROOT / "controlplane" / "settings.py").read_text()
        found["__file__"] = str(ROOT / "controlplane" / "settings.py")
        exec(compile(code, "settings", "exec"), found)  # noqa: S102
    return SimpleNamespace(**{k: v for k, v in found.items() if k.isupper()})


def _is_ours(name: str) -> bool:
    return name.startswith(("INTERLOCK_", "DATABASE_", "REDIS_", "KAFKA_", "OPENAI_"))


def test_a_right_configuration_has_no_fault() -> None:
    assert list(faults(settings_of(RIGHT))) == []


@pytest.mark.parametrize(("name", "value", "sentence"), WRONG)
def test_each_fault_is_told_with_what_to_set(
    name: str, value: str, sentence: str
) -> None:
    [fault] = faults(settings_of(RIGHT | {name: value}))

    assert fault.msg == sentence
    assert (
        name in (fault.hint or "") or name in fault.msg or "own" in (fault.hint or "")
    )
    assert fault.is_serious() is not sentence.endswith(WARNINGS)


def test_kafka_that_asks_nobody_is_a_fault() -> None:
    given = {k: v for k, v in RIGHT.items() if not k.startswith("KAFKA_S")}
    given["KAFKA_SECURITY_PROTOCOL"] = "SSL"

    assert [fault.msg for fault in faults(settings_of(given))] == [
        "Kafka lets anybody in."
    ]


def test_services_on_this_machine_or_on_a_network_of_their_own_need_nothing() -> None:
    plain = {
        "DATABASE_URL": "postgresql://app@{}/main",
        "DATABASE_OWNER_URL": "postgresql://owner@{}/main",
        "REDIS_URL": "redis://{}:6379/0",
        "KAFKA_BOOTSTRAP_SERVERS": "{}:9092",
        "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
        "OPENAI_BASE_URL": "http://{}/v1",
    }
    far = RIGHT | {name: value.format("far") for name, value in plain.items()}
    far.pop("KAFKA_SASL_USERNAME")
    near = RIGHT | {name: value.format("127.0.0.1") for name, value in plain.items()}

    assert list(faults(settings_of(near))) == []
    assert list(faults(settings_of(far | {"INTERLOCK_TRUSTED_NETWORK": "true"}))) == []
    assert len(list(faults(settings_of(far)))) == 9


def test_every_secret_is_among_those_that_are_checked_and_may_come_from_a_file(
    tmp_path: Path,
) -> None:
    files = {}
    for name, value in SECRETS.items():
        file = tmp_path / name
        file.write_text(f"{value}\n")
        files[f"{name}_FILE"] = str(file)
    given = {k: v for k, v in RIGHT.items() if k not in SECRETS} | files

    found = secrets_of(settings_of(given))

    assert {name: SECRETS[name] for name in found} == found
    assert found.keys() >= {"INTERLOCK_SECRET_KEY", "INTERLOCK_WIDGET_SECRET"}


def test_a_developer_s_secrets_differ_and_none_holds_another() -> None:
    given = settings_of({"INTERLOCK_SECRET_KEY": SECRETS["INTERLOCK_SECRET_KEY"]})

    assert given.DEBUG
    assert [f.msg for f in faults(given) if "alike" in f.msg] == []


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "controlplane.web", "-p", "1", "controlplane.asgi:application"),
        ("-m", "celery", "-A", "controlplane", "worker", "-P", "threads"),
        ("-m", "celery", "-A", "controlplane", "beat", "-s", "schedule"),
        ("manage.py", "prepare"),
    ],
    ids=["web", "worker", "beat", "prepare"],
)
def test_no_process_starts_with_a_fault(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    nowhere = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "DATABASE_OWNER_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    kept = {name: value for name, value in os.environ.items() if not _is_ours(name)}
    settings = {"DJANGO_SETTINGS_MODULE": "controlplane.settings"}

    done = subprocess.run(
        [
            sys.executable,
            *(part if part != "schedule" else str(tmp_path / part) for part in command),
        ],
        env=kept | settings | RIGHT | nowhere | {"INTERLOCK_SECRET_KEY": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "INTERLOCK_SECRET_KEY is not set. Set INTERLOCK_SECRET_KEY," in done.stderr
    assert "Interlock does not start like this." in done.stderr
    assert "Traceback" not in done.stderr
