"""Signing in and out, and the pages for errors."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path, reverse

from controlplane import urls
from controlplane.accounts import table
from tests.factories import make_user

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


def sign_in(client: Client, **fields: str) -> Any:
    defaults = {"login": "vera", "password": PASSWORD}
    return client.post(reverse("account_login"), defaults | fields)


def test_goes_on_to_the_page_that_was_asked_for(client: Client) -> None:
    make_user("vera", "viewer")

    response = sign_in(client, next="/queue/")

    assert (response.status_code, response["Location"]) == (302, "/queue/")


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"]
)
def test_never_goes_to_another_host(client: Client, elsewhere: str) -> None:
    make_user("vera", "viewer")

    assert sign_in(client, next=elsewhere)["Location"] == "/"


def test_a_wrong_password_says_so_and_keeps_the_name_and_the_way(
    client: Client,
) -> None:
    make_user("vera", "viewer")

    response = sign_in(client, password="wrong", next="/queue/")

    html = response.content.decode()
    assert response.status_code == 422
    assert "This is not a user name with its password" in html
    assert 'value="vera"' in html
    assert 'name="next" value="/queue/"' in html
    assert "wrong" not in html


def test_who_is_no_longer_active_stays_outside(client: Client) -> None:
    make_user("vera", "viewer", is_active=False)

    response = sign_in(client)

    assert response["Location"] == reverse("account_inactive")
    assert "closed" in client.get(response["Location"]).content.decode()
    assert client.get("/")["Location"].startswith(reverse("account_login"))


def test_who_is_signed_in_needs_no_form(client: Client) -> None:
    client.force_login(make_user("vera", "viewer"))

    assert client.get(reverse("account_login"))["Location"] == "/"


def test_signing_out_is_a_post(client: Client) -> None:
    client.force_login(make_user("vera", "viewer"))

    assert client.get(reverse("account_logout")).status_code == 405
    assert client.post(reverse("account_logout"))["Location"] == reverse(
        "account_login"
    )
    assert client.get("/")["Location"].startswith(reverse("account_login"))


# Errors


def fail(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a secret of ours")


class Routes:
    urlpatterns = [path("fail/", fail, name="fail"), *urls.urlpatterns]


@pytest.fixture
def visitor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setitem(table.ROUTES, "fail", {"GET": table.PUBLIC})
    with override_settings(ROOT_URLCONF=Routes):
        yield Client(raise_request_exception=False, enforce_csrf_checks=True)


def test_an_unknown_address_has_a_page(visitor: Client) -> None:
    response = visitor.get("/nothing/here/")

    assert response.status_code == 404
    assert "There is no such page" in response.content.decode()


def test_our_mistakes_have_a_page_that_tells_no_secret_and_asks_no_database(
    visitor: Client,
) -> None:
    response = visitor.get("/fail/")

    html = response.content.decode()
    assert response.status_code == 500
    assert "Something went wrong here" in html
    assert "secret" not in html


def test_a_form_without_its_key_has_a_page(visitor: Client) -> None:
    response = visitor.post(reverse("account_login"), {"login": "vera"})

    assert response.status_code == 403
    assert "This page was open too long" in response.content.decode()


def test_a_request_that_makes_no_sense_has_a_page(visitor: Client) -> None:
    response = visitor.get("/", headers={"host": "evil.example"})

    assert response.status_code == 400
    assert "could not be understood" in response.content.decode()
