"""Where somebody is signed in: shown, ended one by one or all, and ended by a new password."""

from datetime import timedelta
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from controlplane.accounts import sessions
from controlplane.accounts.tasks import forget_expired
from controlplane.audit.models import Entry
from moderation.watch import Reader, still_readers
from tests.factories import make_admin, make_user

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
ME, END = reverse("account_me"), reverse("account_end_sessions")
FIREFOX = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
)
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1"


@pytest.fixture
def lena() -> User:
    return make_user("lena", "lead")


def come_in(
    name: str = "lena", agent: str = FIREFOX, address: str = "192.0.2.1"
) -> Any:
    client = Client(REMOTE_ADDR=address, headers={"user-agent": agent})
    fields = {"login": name, "password": PASSWORD}
    assert client.post(reverse("account_login"), fields).status_code == 302
    return client


def is_in(client: Client) -> bool:
    return client.get(ME).status_code == 200


def row_of(client: Client) -> UserSession:
    row: UserSession = UserSession.objects.get(session_key=client.session.session_key)
    return row


def test_each_is_shown_with_its_browser_its_address_and_this_one(lena: User) -> None:
    here, there = come_in(), come_in(agent=SAFARI, address="2001:db8::1")

    html = here.get(ME).content.decode()

    assert "Firefox on Windows" in html
    assert "Safari on iOS" in html
    assert "From 2001:db8::1 since" in html
    assert html.count("this one") == 1
    assert f'value="{row_of(there).pk}"' in html
    assert f'value="{row_of(here).pk}"' not in html


def test_one_is_ended_and_its_sockets_may_read_no_more(lena: User) -> None:
    here, there = come_in(), come_in(agent=SAFARI)
    reader = Reader(lena.pk, there.session.session_key)
    assert still_readers([reader]) == {reader}

    assert here.post(END, {"session": row_of(there).pk})["Location"] == ME

    assert still_readers([reader]) == set()
    assert not is_in(there)
    assert is_in(here)
    entry = Entry.objects.get(action="session_ended")
    assert entry.subject == "user:lena"
    assert entry.detail == {"address": "192.0.2.1", "browser": "Safari on iOS"}


def test_all_others_are_ended_at_once(lena: User) -> None:
    here, *others = come_in(), come_in(), come_in()

    here.post(END, {"session": "others"})

    assert is_in(here)
    assert not any(is_in(other) for other in others)


@pytest.mark.parametrize("session", ["", "x", "-1", "999999"])
def test_what_is_no_session_of_mine_stays_as_it_is(lena: User, session: str) -> None:
    here, there = come_in(), come_in()

    assert here.post(END, {"session": session})["Location"] == ME
    assert is_in(there)


def test_nobody_ends_the_sessions_of_others(lena: User) -> None:
    make_user("mallory", "admin")
    here, mallory = come_in(), come_in("mallory")

    mallory.post(END, {"session": row_of(here).pk})
    mallory.post(END, {"session": "others"})

    assert is_in(here)


def test_signing_out_is_written_down(lena: User) -> None:
    come_in().post(reverse("account_logout"))

    assert Entry.objects.get(action="signed_out").actor == "lena"


def test_when_one_was_last_seen_is_noted_once_a_minute_and_not_for_polls(
    lena: User,
) -> None:
    here = come_in()
    long_ago = timezone.now() - timedelta(minutes=5)
    UserSession.objects.update(last_seen_at=long_ago)

    here.get("/room/", headers={"HX-Request": "true"})
    assert row_of(here).last_seen_at == long_ago
    here.get("/queue/", REMOTE_ADDR="192.0.2.9")
    seen = row_of(here)
    assert seen.last_seen_at > long_ago
    assert seen.ip == "192.0.2.9"
    here.get("/queue/")
    assert row_of(here).last_seen_at == seen.last_seen_at


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (
            "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge on Linux",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) Chrome/140.0 Safari/537.36",
            "Chrome on macOS",
        ),
        ("curl/8.0", "unknown browser"),
        ("", "unknown browser"),
    ],
)
def test_a_browser_has_a_name(agent: str, name: str) -> None:
    assert sessions.browser_of(UserSession(user_agent=agent)) == name


def test_sessions_that_are_over_are_forgotten_every_hour(lena: User) -> None:
    here, there = come_in(), come_in()
    Session.objects.filter(pk=there.session.session_key).update(
        expire_date=timezone.now()
    )

    forget_expired()

    assert [row.session_key for row in UserSession.objects.all()] == [
        here.session.session_key
    ]
    assert Session.objects.count() == 1
    assert "accounts.forget_expired" in {
        each["task"] for each in settings.CELERY_BEAT_SCHEDULE.values()
    }


# Passwords


def change(client: Client, **fields: str) -> Any:
    new = {"password1": "another horse battery", "password2": "another horse battery"}
    form = {"oldpassword": PASSWORD} | new | fields
    return client.post(reverse("account_change_password"), form)


def test_a_new_password_ends_all_other_sessions_and_their_sockets(lena: User) -> None:
    here, there = come_in(), come_in()
    reader = Reader(lena.pk, there.session.session_key)

    assert change(here)["Location"] == ME

    assert still_readers([reader]) == set()
    assert not is_in(there)
    assert is_in(here)
    assert UserSession.objects.count() == 1
    assert Entry.objects.get(action="password_changed").subject == "user:lena"
    lena.refresh_from_db()
    assert lena.check_password("another horse battery")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"oldpassword": "wrong"}, "This is not your password"),
        ({"password2": "different"}, "same password"),
        ({"password1": "short", "password2": "short"}, "too short"),
    ],
)
def test_a_password_that_will_not_do_says_why(
    lena: User, fields: dict[str, str], said: str
) -> None:
    answer = change(come_in(), **fields)

    assert answer.status_code == 422
    assert said in answer.content.decode()


def test_the_old_password_cannot_be_guessed_on_a_screen_left_alone(lena: User) -> None:
    here = come_in()
    for _ in range(5):
        assert change(here, oldpassword="wrong").status_code == 422

    assert change(here).status_code == 429


def test_who_has_no_password_can_choose_one(client: Client) -> None:
    sam = make_user("sam", "viewer")
    client.force_login(sam)
    sam.set_unusable_password()
    sam.save()
    client.force_login(sam)
    assert "You have none" in client.get(ME).content.decode()

    assert client.get(reverse("account_set_password")).status_code == 302


# One door


@pytest.mark.parametrize(
    "path",
    [
        "signup/",
        "email/",
        "password/reset/",
        "social/signup/",
        "3rdparty/",
        "login/code/confirm/",
    ],
)
def test_there_is_no_signing_up_and_no_mail(client: Client, path: str) -> None:
    assert client.get(f"/accounts/{path}").status_code == 404


def test_djangos_admin_has_no_door_of_its_own(client: Client) -> None:
    asked = client.get("/admin/", follow=True)
    assert asked.redirect_chain[-1][0] == "/accounts/login/?next=%2Fadmin%2F"
    form = {"username": "ada", "password": PASSWORD}
    assert client.post("/admin/login/", form).status_code == 302

    client.force_login(make_user("vera", "viewer"))
    assert client.get("/admin/login/").status_code == 403

    client.force_login(make_admin())
    assert client.get("/admin/password_change/")["Location"] == "/accounts/me/password/"
    client.post("/admin/logout/")
    assert Entry.objects.get(action="signed_out").actor == "ada"
    assert not is_in(client)


def test_signing_out_leads_to_no_other_host(lena: User) -> None:
    here = come_in()

    answer = here.post(reverse("account_logout"), {"next": "https://evil.example/"})

    assert answer["Location"] == reverse("account_login")
