"""Reads settings from environment variables, with an error that names the variable."""

import hashlib
import hmac
import math
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

KAFKA_PREFIXES = ("KAFKA_BOOTSTRAP_", "KAFKA_SECURITY_", "KAFKA_SASL_", "KAFKA_SSL_")


# The port that goes without saying, and how the connection is encrypted.
MAIL_SCHEMES = {"smtp": (587, "starttls"), "smtps": (465, "tls")}


class SettingError(Exception):
    """An environment variable holds something that cannot be used."""


class MailServer(NamedTuple):
    """Where mail goes out. security: starttls, tls or none."""

    host: str
    port: int
    user: str
    password: str
    security: str
    sender: str


def text(name: str, default: str = "") -> str:
    """Return the variable, or the content of the file that `<name>_FILE` names."""
    path = os.environ.get(f"{name}_FILE")
    if path:
        try:
            return Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(f"{name}_FILE cannot be read: {error}") from None
    return os.environ.get(name, default)


def number(name: str, default: float) -> float:
    value = text(name)
    try:
        return float(value) if value else default
    except ValueError:
        raise SettingError(f"{name} must be a number, not {value!r}") from None


def words(name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """Return what stands between commas."""
    return tuple(filter(None, map(str.strip, text(name).split(",")))) or default


def amount(name: str, default: float) -> float:
    """Return a number that something can be compared with: finite, and not below 0."""
    value = number(name, default)
    if not (math.isfinite(value) and value >= 0):
        raise SettingError(f"{name} must be 0 or more, not {text(name)!r}")
    return value


def count(name: str, default: int) -> int:
    value = amount(name, default)
    if value % 1:
        raise SettingError(f"{name} must be a whole number, not {text(name)!r}")
    return int(value)


def flag(name: str, *, default: bool) -> bool:
    value = text(name).lower()
    if value in {"", "1", "true", "yes", "0", "false", "no"}:
        return value in {"1", "true", "yes"} if value else default
    raise SettingError(f"{name} must be true or false, not {value!r}")


def names(name: str, default: str = "") -> list[str]:
    """Return a comma-separated list without blanks."""
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def database(name: str, default: str) -> dict[str, Any]:
    """Return Django's settings for a postgresql:// URL; its query becomes OPTIONS."""
    url = urlsplit(text(name) or default)
    if url.scheme not in {"postgres", "postgresql"}:
        raise SettingError(f"{name} must be a postgresql:// URL")
    try:
        port = str(url.port or "")
    except ValueError as error:
        raise SettingError(f"{name} has a bad port: {error}") from None
    options = dict(pair.split("=", 1) for pair in url.query.split("&") if "=" in pair)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(url.path.lstrip("/")),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": url.hostname or "",
        "PORT": port,
        "OPTIONS": {key: unquote(value) for key, value in options.items()},
    }


def mail_server(name: str, sender: str) -> MailServer | None:
    """Return the server of an smtp:// or smtps:// URL, or none without one."""
    given = text(name)
    if not given:
        return None
    url = urlsplit(given)
    if url.scheme not in MAIL_SCHEMES or not url.hostname:
        raise SettingError(f"{name} must be an smtp:// or smtps:// URL")
    if "@" not in sender:
        raise SettingError(f"{name} needs the sender's address: INTERLOCK_MAIL_FROM")
    usual, security = MAIL_SCHEMES[url.scheme]
    try:
        port = url.port or usual
    except ValueError as error:
        raise SettingError(f"{name} has a bad port: {error}") from None
    is_bare = url.scheme == "smtp" and parse_qs(url.query).get("tls") == ["none"]
    return MailServer(
        host=url.hostname,
        port=port,
        user=unquote(url.username or ""),
        password=unquote(url.password or ""),
        security="none" if is_bare else security,
        sender=sender,
    )


def valkey(name: str, default: str) -> str:
    """Return a redis:// or rediss:// URL. Celery checks no certificate unless it is told to."""
    url = text(name) or default
    if not url.startswith("rediss://") or "ssl_cert_reqs=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"


def kafka_client() -> dict[str, str]:
    """Return librdkafka's properties: KAFKA_SASL_USERNAME is sasl.username, and so on."""
    found = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): text(
            name.removesuffix("_FILE")
        )
        for name in os.environ
        if name.startswith(KAFKA_PREFIXES)
    }
    return {"bootstrap.servers": "127.0.0.1:9092"} | {
        name.removesuffix(".file"): value for name, value in found.items()
    }


def openid_connect(
    url: str,
    *,
    client_id: str,
    secret: str,
    label: str,
    verified_domains: list[str],
    is_https_needed: bool,
) -> dict[str, Any]:
    """Return allauth's settings for the provider of single sign-on, or none without its URL."""
    if not url:
        return {}
    if is_https_needed and not url.startswith("https://"):
        raise SettingError("INTERLOCK_OIDC_URL must be an https:// URL")
    if not client_id:
        raise SettingError("INTERLOCK_OIDC_URL needs INTERLOCK_OIDC_CLIENT_ID")
    app = {
        "provider_id": "sso",
        "name": label,
        "client_id": client_id,
        "secret": secret,
        "settings": {
            "server_url": url.rstrip("/"),
            "verified_email": verified_domains,
        },
    }
    return {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}


def kept_secret(name: str, path: Path) -> str:
    """Return the variable, or a random secret that is made once and kept in the file."""
    given = text(name)
    if not given and not path.exists():
        _make_secret(path)
    return given or path.read_text()


def own_secret(name: str, key: str, is_derived: bool) -> str:  # noqa: FBT001
    """Return the variable. A developer's machine may do with one that is made of the key."""
    given = text(name)
    if given or not is_derived:
        return given
    return hmac.new(key.encode(), name.encode(), hashlib.sha256).hexdigest()


def _make_secret(path: Path) -> None:
    """Whole or not at all: of processes that start together, the first one's stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_urlsafe(50))
    with suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()
