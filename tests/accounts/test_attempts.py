"""How often anybody may try to sign in: by name and address, for a while, and never for good."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connections
from django.db.models import F
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from controlplane.accounts import attempts
from controlplane.accounts.models import Attempts
from controlplane.audit.models import Entry
from tests.factories import make_user

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture
def lena() -> User:
    return make_user("lena", "lead")


WRONG = "a wrong one"


def sign_in(
    password: str = WRONG,
    *,
    name: str = "lena",
    address: str = "192.0.2.1",
    **headers: str,
) -> Any:
    fields = {"login": name, "password": password}
    client = Client(REMOTE_ADDR=address)
    return client.post(reverse("account_login"), fields, headers=headers)


def fail(times: int, **who: str) -> None:
    for _ in range(times):
        assert sign_in(**who).status_code == 422


def pass_time(seconds: int) -> None:
    Attempts.objects.update(ends_at=F("ends_at") - timedelta(seconds=seconds))


def test_after_five_wrong_passwords_the_right_one_has_to_wait(lena: User) -> None:
    fail(5)

    refused = sign_in(PASSWORD)

    assert refused.status_code == 429
    assert 298 <= int(refused["Retry-After"]) <= 300
    at = timezone.now() + timedelta(minutes=5)
    assert "Try again in 5 minutes, at" in refused.content.decode()
    assert f"{at:%H:}" in refused.content.decode()


def test_the_wait_ends_when_it_was_said_to_however_much_was_tried(lena: User) -> None:
    fail(5)
    pass_time(200)
    for _ in range(10):
        assert sign_in().status_code == 429
    assert "in 2 minutes" in sign_in(PASSWORD).content.decode()

    pass_time(100)

    assert sign_in(PASSWORD)["Location"] == "/"


def test_right_passwords_are_not_counted(lena: User) -> None:
    for _ in range(7):
        assert sign_in(PASSWORD).status_code == 302
    fail(5)


def test_a_right_password_now_and_then_buys_no_tries_at_others(lena: User) -> None:
    make_user("mallory", "viewer")
    for number in range(30):
        assert sign_in(name=f"victim{number}").status_code == 422
        if number % 6 == 0:
            assert sign_in(PASSWORD, name="mallory").status_code == 302

    assert sign_in(PASSWORD, name="mallory").status_code == 429


def test_other_names_and_other_addresses_are_not_kept_waiting(lena: User) -> None:
    fail(5)

    assert sign_in(name="nobody-else").status_code == 422
    assert sign_in(PASSWORD, address="192.0.2.2").status_code == 302


def test_a_name_that_nobody_has_waits_as_one_that_somebody_has(lena: User) -> None:
    fail(5, name="lena")
    fail(5, name="lina", address="192.0.2.2")

    refused = [sign_in(), sign_in(name="lina", address="192.0.2.2")]

    assert [each.status_code for each in refused] == [429, 429]


@pytest.mark.parametrize("name", ["LENA", "lena ", "\uff4cena"])
def test_another_way_to_write_a_name_is_the_same_name(lena: User, name: str) -> None:
    fail(5)

    assert sign_in(name=name).status_code == 429


def test_from_many_addresses_twenty_wrong_ones_an_hour_are_too_many(lena: User) -> None:
    for host in range(1, 5):
        fail(5, address=f"192.0.2.{host}")

    assert sign_in(PASSWORD, address="192.0.2.9").status_code == 429
    pass_time(3600)
    assert sign_in(PASSWORD, address="192.0.2.9").status_code == 302


def test_strangers_cannot_keep_somebody_out_from_where_he_is_signed_in(
    lena: User,
) -> None:
    assert sign_in(PASSWORD, address="198.51.100.7").status_code == 302
    for host in range(1, 5):
        fail(5, address=f"192.0.2.{host}")

    assert sign_in(PASSWORD, address="192.0.2.9").status_code == 429
    assert sign_in(PASSWORD, address="198.51.100.7").status_code == 302


def test_the_addresses_of_one_ipv6_customer_are_one() -> None:
    for host in range(5):
        fail(1, name="lina", address=f"2001:db8::{host:x}")

    assert sign_in(name="lina", address="2001:db8::ffff").status_code == 429
    assert sign_in(name="lina", address="2001:db8:0:1::1").status_code == 422


# Proxies


def test_what_anybody_says_of_his_address_is_not_believed(lena: User) -> None:
    for host in range(5):
        sign_in(**{"X-Forwarded-For": f"198.51.100.{host}"})

    assert sign_in(**{"X-Forwarded-For": "198.51.100.9"}).status_code == 429


def test_what_our_own_proxy_says_is_believed(lena: User, settings: Any) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    for host in range(5):  # what the client made up comes first
        sign_in(**{"X-Forwarded-For": f"203.0.113.{host}, 198.51.100.1"})

    assert sign_in(**{"X-Forwarded-For": "x, 198.51.100.1"}).status_code == 429
    assert sign_in(**{"X-Forwarded-For": "198.51.100.2"}).status_code == 422


def test_who_comes_past_the_proxies_is_whom_the_connection_is_from(
    lena: User, settings: Any
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 2
    for host in range(5):
        sign_in(**{"X-Forwarded-For": f"198.51.100.{host}"})

    assert sign_in(**{"X-Forwarded-For": "198.51.100.9"}).status_code == 429


# The log


def log() -> list[tuple[str, str, str]]:
    entries = Entry.objects.filter(action__startswith="sign").order_by("pk")
    return [(each.actor, each.action, each.subject) for each in entries]


def test_each_failure_and_the_start_of_a_wait_are_in_the_log(lena: User) -> None:
    fail(5)
    sign_in()
    sign_in()
    pass_time(300)
    sign_in(PASSWORD)

    failed = ("lena", "sign_in_failed", "user:lena")
    throttled = ("lena", "sign_in_throttled", "user:lena")
    assert log() == [*[failed] * 5, throttled, ("lena", "signed_in", "user:lena")]
    entry = Entry.objects.get(action="sign_in_throttled")
    assert entry.detail["by"] == "password"
    assert entry.detail["address"] == "192.0.2.1"
    assert entry.detail["until"].endswith("UTC")
    assert PASSWORD not in str(list(Entry.objects.values()))


def test_a_password_in_the_field_of_the_name_is_not_in_the_log(lena: User) -> None:
    sign_in("lena", name=PASSWORD)

    assert log() == [("nobody", "sign_in_failed", "user:unknown")]
    assert PASSWORD not in str(list(Entry.objects.values()))


def test_attempts_that_count_no_more_are_forgotten(lena: User) -> None:
    fail(1)
    assert attempts.forget_attempts() == 0
    pass_time(301)

    assert attempts.forget_attempts() == 2
    assert Attempts.objects.count() == 1  # that of the name, for an hour


# Many at once


@pytest.fixture
def request_of_lena() -> HttpRequest:
    request = HttpRequest()
    request.META = {"REMOTE_ADDR": "192.0.2.1"}
    return request


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_five_are_tried(request_of_lena: HttpRequest) -> None:
    tried: list[str] = []

    def check() -> None:
        tried.append("wrong")

    def attempt(_: int) -> bool:
        try:
            attempts.try_once(request_of_lena, "password", "lena", check)
        except ValidationError:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(6) as many:
        allowed = list(many.map(attempt, range(40)))

    assert (len(tried), sum(allowed)) == (5, 5)
    assert Entry.objects.filter(action="sign_in_throttled").count() == 1
