"""What must be right before the product runs for others than a developer: each fault says what to set.

The site, the workers and beat refuse to start with any of them; `manage.py check --deploy` says them too.
"""

import ipaddress
import sys
from collections.abc import Iterator
from itertools import combinations
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import LazySettings, settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

SECRET_MIN_CHARS = 32
SECRET_MIN_KINDS = 10  # of characters
PLACEHOLDERS = ("changeme", "change-me", "example", "insecure", "placeholder", "secret")
CHECKED_TLS = {"verify-ca", "verify-full"}
UNCHECKED_TLS = {"require"}
OR_ELSE = (
    "or INTERLOCK_TRUSTED_NETWORK=true if nobody else is on the network between them."
)

Faults = Iterator[checks.CheckMessage]


def faults(given: Any) -> Faults:
    """Yield what is wrong with settings: errors that end the start, and warnings."""
    yield from _secrets(given)
    yield from _surface(given)
    yield from _database(given)
    yield from _valkey(given)
    yield from _kafka(given)
    yield from _model(given)
    yield from _mail(given)


def refuse_insecure(given: LazySettings = settings) -> None:
    """End the process, with a sentence for each fault, unless this is a developer's machine."""
    if given.DEBUG:
        return
    found = [fault for fault in faults(given) if fault.is_serious()]
    if not found:
        return
    for fault in found:
        sys.stderr.write(f"{fault.msg} {fault.hint}\n")
    sys.exit("Interlock does not start like this. docs/operations.md has the settings.")


@checks.register(checks.Tags.security, deploy=True)
def check_deployment(**_: Any) -> list[checks.CheckMessage]:
    return [] if settings.DEBUG else list(faults(settings))


def secrets_of(given: Any) -> dict[str, str]:
    """Return every secret of the product by the variable that holds it."""
    names = [name for name in dir(given) if name.endswith(("_SECRET", "SECRET_KEY"))]
    return {f"INTERLOCK_{name}": _secret(given, name) for name in names}


def _secret(given: Any, name: str) -> str:
    try:
        return str(getattr(given, name))
    except ImproperlyConfigured:  # Django's word for an empty SECRET_KEY
        return ""


def _secrets(given: Any) -> Faults:
    secrets = secrets_of(given)
    for name, secret in secrets.items():
        hint = f"Set {name}, or {name}_FILE, to a random text of {SECRET_MIN_CHARS} characters or more."
        if not secret:
            yield checks.Error(f"{name} is not set.", hint, id="interlock.E001")
        elif len(secret) < SECRET_MIN_CHARS or len(set(secret)) < SECRET_MIN_KINDS:
            yield checks.Error(f"{name} can be guessed.", hint, id="interlock.E002")
        elif any(word in secret.lower() for word in PLACEHOLDERS):
            yield checks.Error(f"{name} is a placeholder.", hint, id="interlock.E003")
    for (one, first), (other, second) in combinations(secrets.items(), 2):
        if first and second and (first in second or second in first):
            hint = "Give each a random text of its own: who knows one must not know the other."
            yield checks.Error(
                f"{one} and {other} are alike.", hint, id="interlock.E004"
            )


def _surface(given: Any) -> Faults:
    if given.DEMO:
        hint = "Set INTERLOCK_DEMO=false."
        yield checks.Error("The demo gives anybody a token.", hint, id="interlock.E005")
    if "*" in given.ALLOWED_HOSTS or not given.ALLOWED_HOSTS:
        hint = "Set INTERLOCK_HOSTS to the names that the site is served by."
        yield checks.Error("Any host name is served.", hint, id="interlock.E006")
    for name, origins in (
        ("INTERLOCK_ORIGINS", given.CSRF_TRUSTED_ORIGINS),
        ("INTERLOCK_WIDGET_ORIGINS", given.WIDGET_ORIGINS),
    ):
        for origin in origins:
            if not origin.startswith("https://") or "*" in origin:
                hint = f"Name it in {name} with https:// and in full."
                yield checks.Error(
                    f"{origin} cannot be trusted.", hint, id="interlock.E007"
                )


def _database(given: Any) -> Faults:
    for alias, variable in (
        ("default", "DATABASE_URL"),
        ("owner", "DATABASE_OWNER_URL"),
    ):
        database = given.DATABASES[alias]
        options = database["OPTIONS"]
        if _is_near(database["HOST"]):
            continue
        if not database["PASSWORD"] and "sslkey" not in options:
            yield from _nobody_asked(given, variable, "PostgreSQL")
        mode = options.get("sslmode", "")
        if mode in UNCHECKED_TLS:
            yield _unchecked(variable, "sslmode=verify-full and sslrootcert")
        elif mode not in CHECKED_TLS:
            yield from _in_the_clear(
                given, variable, "PostgreSQL", "sslmode=verify-full"
            )


def _valkey(given: Any) -> Faults:
    url = urlsplit(given.REDIS_URL)
    if _is_near(url.hostname or ""):
        return
    query = parse_qs(url.query)
    if not url.password and "ssl_keyfile" not in query:
        yield from _nobody_asked(given, "REDIS_URL", "Valkey")
    if url.scheme != "rediss":
        yield from _in_the_clear(given, "REDIS_URL", "Valkey", "rediss://")
    elif query.get("ssl_cert_reqs") != ["required"]:
        yield _unchecked("REDIS_URL", "ssl_cert_reqs=required")


def _kafka(given: Any) -> Faults:
    servers = given.KAFKA["bootstrap.servers"].split(",")
    if all(
        _is_near(urlsplit(f"//{server.strip()}").hostname or "") for server in servers
    ):
        return
    protocol = given.KAFKA.get("security.protocol", "plaintext").upper()
    named = given.KAFKA.keys() & {
        "sasl.username",
        "ssl.key.location",
        "ssl.keystore.location",
    }
    if not protocol.startswith("SASL_") and not named:
        yield from _nobody_asked(given, "KAFKA_SECURITY_PROTOCOL", "Kafka")
    if not protocol.endswith("SSL"):
        yield from _in_the_clear(
            given, "KAFKA_SECURITY_PROTOCOL", "Kafka", "SASL_SSL or SSL"
        )
    elif given.KAFKA.get("enable.ssl.certificate.verification") == "false":
        yield _unchecked("KAFKA_SSL_CA_LOCATION", "the authority's certificate")


def _model(given: Any) -> Faults:
    scorers = given.SCORERS
    addresses = {
        "OPENAI_BASE_URL": given.OPENAI_BASE_URL,
        "INTERLOCK_EMBEDDINGS_URL": scorers.embeddings.base_url,
        "INTERLOCK_MODERATION_URL": scorers.moderation.base_url,
        "INTERLOCK_JUDGE_URL": scorers.judge.base_url,
    }
    seen = set[str]()
    for variable, address in addresses.items():
        url = urlsplit(address)
        is_safe = url.scheme == "https" or _is_near(url.hostname or "")
        if not is_safe and address not in seen:
            yield from _in_the_clear(given, variable, "the model", "https://")
        seen.add(address)


def _mail(given: Any) -> Faults:
    server = given.MAIL_SERVER
    if server and server.security == "none" and not _is_near(server.host):
        yield from _in_the_clear(
            given, "INTERLOCK_MAIL_URL", "the mail server", "smtps:// or smtp://"
        )


def _nobody_asked(given: Any, variable: str, service: str) -> Faults:
    if not given.TRUSTED_NETWORK:
        hint = f"Put a password or a client certificate into {variable}, {OR_ELSE}"
        yield checks.Error(f"{service} lets anybody in.", hint, id="interlock.E008")


def _in_the_clear(given: Any, variable: str, service: str, wanted: str) -> Faults:
    if not given.TRUSTED_NETWORK:
        hint = f"Put {wanted} into {variable}, {OR_ELSE}"
        yield checks.Error(
            f"{service} is asked in the clear.", hint, id="interlock.E009"
        )


def _unchecked(variable: str, wanted: str) -> checks.CheckMessage:
    hint = f"Put {wanted} into {variable}."
    text = f"Whoever answers for {variable} is believed to be it."
    return checks.Warning(text, hint, id="interlock.W001")


def _is_near(host: str) -> bool:
    """Whether it is this machine: its loopback, or a socket in its file system."""
    if not host or host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
