"""What answers carry besides their content, and what they and the log keep to themselves."""

import io
import json
import time

import pytest
import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path, reverse

from controlplane import urls
from controlplane.accounts import table
from controlplane.idle import BEGAN, KEY
from tests.factories import make_user
from tests.safety.test_start import RIGHT, settings_of

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "address", ["/queue/", "/dlq/", "/accounts/login/", "/nowhere/", "/api/traces/x"]
)
def test_nothing_that_may_be_personal_is_kept_by_a_cache(
    client: Client, address: str
) -> None:
    client.force_login(make_user("otto", "auditor"))

    kept = client.get(address).headers["Cache-Control"]

    assert "no-store" in kept
    assert "private" in kept


def test_files_are_kept_and_may_be_embedded(client: Client) -> None:
    answer = client.get("/static/widget/widget.js")
    answer.close()
    headers = answer.headers

    assert "no-store" not in headers["Cache-Control"]
    assert headers["Access-Control-Allow-Origin"] == "*"


def test_cookies_are_of_this_host_alone_and_out_of_reach_of_scripts() -> None:
    given = settings_of(RIGHT)

    for kind in ("SESSION", "CSRF"):
        assert getattr(given, f"{kind}_COOKIE_NAME").startswith("__Host-")
        assert getattr(given, f"{kind}_COOKIE_SECURE") is True
        assert getattr(given, f"{kind}_COOKIE_HTTPONLY") is True
    assert given.SECURE_HSTS_SECONDS >= 31_536_000
    assert given.SECURE_SSL_REDIRECT is True
    assert given.SESSION_COOKIE_AGE == 12 * 3600


def test_the_sign_in_page_sets_its_cookie_strictly(client: Client) -> None:
    cookie = client.get(reverse(settings.LOGIN_URL)).cookies[settings.CSRF_COOKIE_NAME]

    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Lax"
    assert (cookie["path"], cookie["domain"]) == ("/", "")


def test_who_does_nothing_for_long_is_signed_out(client: Client) -> None:
    client.force_login(make_user("vera", "viewer"))
    assert client.get("/queue/").status_code == 200
    be_idle(client, settings.SESSION_IDLE_S + 5)

    assert client.get("/queue/").status_code == 302
    assert client.get("/queue/").status_code == 302


def test_what_a_page_asks_by_itself_keeps_nobody_signed_in(client: Client) -> None:
    client.force_login(make_user("vera", "viewer"))
    client.get("/queue/")
    be_idle(client, settings.SESSION_IDLE_S - 100)
    client.get("/queue/", headers={"X-Live": "true"})
    assert time.time() - client.session[KEY] > settings.SESSION_IDLE_S - 110

    assert client.get("/queue/").status_code == 200

    assert time.time() - client.session[KEY] < 100


def test_a_session_ends_when_it_is_old_whatever_is_done(client: Client) -> None:
    client.force_login(make_user("vera", "viewer"))
    session = client.session
    session[BEGAN] = int(time.time()) - settings.SESSION_COOKIE_AGE - 5
    session.save()

    assert client.get("/queue/").status_code == 302


def be_idle(client: Client, seconds: int) -> None:
    session = client.session
    session[KEY] = int(time.time()) - seconds
    session.save()


def fail(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the password is opensesame")


class WithFault:
    urlpatterns = [*urls.urlpatterns, path("fault/", fail, name="fault")]


@pytest.mark.parametrize("address", ["/fault/"])
def test_an_error_page_says_nothing_of_the_inside(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setitem(table.ROUTES, "fault", {"GET": table.PUBLIC})
    client = Client(raise_request_exception=False)

    with override_settings(ROOT_URLCONF=WithFault):
        answer = client.get(address)

    said = answer.content.decode()
    assert answer.status_code == 500
    assert [
        word
        for word in ("opensesame", "Traceback", "RuntimeError", ".py")
        if word in said
    ] == []


def test_a_line_of_the_log_cannot_be_forged() -> None:
    text = 'x"}\n{"event": "forged"}\r\n\x1b[31m'
    written = io.StringIO()
    log = structlog.wrap_logger(
        structlog.WriteLogger(written), processors=structlog.get_config()["processors"]
    )

    log.warning("refused", reason=text)

    [line] = written.getvalue().splitlines()
    assert json.loads(line)["reason"] == text
    assert "\x1b" not in line
