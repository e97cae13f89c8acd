"""Who somebody is, is asked again before what is dangerous; then they go on where they were."""

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from controlplane.accounts import table
from tests.accounts.clock import age
from tests.factories import make_user, sign_in_now

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
ASK = reverse("account_reauthenticate")


@pytest.fixture
def lena(client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A lead who signed in long ago, on a product whose dead letters are dangerous."""
    monkeypatch.setitem(table.RECENT, "deadletters:list", {"GET", "POST"})
    sign_in_now(client, make_user("lena", "lead"))
    age(client.session, 301)
    return client


def say_it_is_me(client: Client, url: str, **fields: str) -> Any:
    return client.post(url, {"password": PASSWORD} | fields)


def test_a_page_comes_back_by_itself(lena: Client) -> None:
    asked = lena.get("/dlq/?state=open")

    assert asked["Location"] == f"{ASK}?next=%2Fdlq%2F%3Fstate%3Dopen"
    assert 'name="next" value="/dlq/?state=open"' in body(lena.get(asked["Location"]))
    answer = say_it_is_me(lena, asked["Location"])
    assert answer["Location"] == "/dlq/?state=open"
    assert lena.get("/dlq/?state=open").status_code == 200


def test_who_has_just_signed_in_is_not_asked(lena: Client) -> None:
    age(lena.session, -300)

    assert lena.get("/dlq/").status_code == 200


def test_a_wrong_password_lets_nobody_go_on(lena: Client) -> None:
    refused = say_it_is_me(lena, f"{ASK}?next=/dlq/", password="wrong")

    assert refused.status_code == 422
    assert "This is not your password" in body(refused)
    assert lena.get("/dlq/")["Location"].startswith(ASK)


def test_a_form_is_kept_without_its_secrets_and_sent_by_one_more_press(
    lena: Client,
) -> None:
    sent = {"do": "discard", "reason": 'a "reason" <b>', "new_password": "hush"}

    asked = lena.post("/dlq/?page=2", sent, headers={"referer": "http://testserver/x"})

    assert asked["Location"] == f"{ASK}?next=%2Faccounts%2Fagain%2Fgo-on%2F"
    assert "hush" not in str(dict(lena.session))
    html = body(say_it_is_me(lena, asked["Location"], follow="yes"), lena)
    assert 'action="/dlq/?page=2"' in html
    kept = dict(re.findall(r'name="(\w+)" value="([^"]*)"', html))
    kept.pop("csrfmiddlewaretoken", None)
    assert {name: unescape(value) for name, value in kept.items()} == {
        "do": "discard",
        "reason": 'a "reason" <b>',
    }
    assert 'href="/x"' in html
    assert lena.post("/dlq/?page=2", kept).status_code not in {302, 403}


def test_a_form_is_shown_once(lena: Client) -> None:
    asked = lena.post("/dlq/", {"do": "discard"})
    say_it_is_me(lena, asked["Location"])
    lena.get(reverse("account_go_on"))

    assert lena.get(reverse("account_go_on"))["Location"] == "/"


def test_a_form_that_is_huge_is_not_kept(lena: Client) -> None:
    asked = lena.post("/dlq/", {"reason": "x" * 20_001})

    assert asked["Location"] == f"{ASK}?next=%2F"


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_fragment_takes_its_whole_page_there(lena: Client, method: str) -> None:
    url = "http://testserver/dlq/?state=open#letter"
    headers = {"HX-Request": "true", "HX-Current-URL": url}

    asked = getattr(lena, method)("/dlq/", headers=headers)

    then = (
        "%2Fdlq%2F%3Fstate%3Dopen"
        if method == "get"
        else "%2Faccounts%2Fagain%2Fgo-on%2F"
    )
    assert asked["HX-Redirect"] == f"{ASK}?next={then}"
    assert asked.status_code == 200


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "javascript:alert(1)", ""]
)
def test_the_way_back_never_leads_to_another_host(lena: Client, elsewhere: str) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": elsewhere}

    assert lena.get("/dlq/", headers=headers)["HX-Redirect"] == f"{ASK}?next=%2F"


def test_who_may_not_do_it_is_refused_and_not_asked(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(table.RECENT, "deadletters:list", {"GET"})
    client.force_login(make_user("vera", "viewer"))

    assert client.get("/dlq/").status_code == 403


@pytest.mark.parametrize("route", table.RECENT)
def test_each_row_that_asks_is_a_row_of_the_table(route: str) -> None:
    assert table.RECENT[route] <= set(table.ROUTES[route])


def body(response: Any, client: Client | None = None) -> str:
    if client is not None:
        response = client.get(response["Location"])
    assert response.status_code in {200, 422}
    return str(response.content.decode())
