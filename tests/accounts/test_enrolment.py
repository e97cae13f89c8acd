"""Links by which people choose a password: once, in time, and nowhere to be found again."""

import hashlib
import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from controlplane.accounts import enrolments, people
from controlplane.accounts.models import Enrolment
from controlplane.audit.models import Entry
from tests.factories import TEAMS, make_moderator, make_user, sign_in_now

pytestmark = pytest.mark.django_db
ADD = reverse("accounts:add")
ENROL = reverse("accounts:enrol")
PASSWORD = "a horse that is correct"
NINA = {"username": "nina", "name": "Nina Berg", "email": "nina@b.example"}


@pytest.fixture
def ada(client: Client) -> Client:
    sign_in_now(client, make_user("ada", "admin"))
    return client


def body(response: Any) -> str:
    return str(response.content.decode())


def code_on(html: str) -> str:
    found = re.search(r'value="http://testserver/accounts/enrol/#([\w-]+)"', html)
    assert found is not None
    return found[1]


def choose(code: str, password: str = PASSWORD, again: str = PASSWORD) -> Any:
    fields = {"code": code, "new_password1": password, "new_password2": again}
    return Client().post(ENROL, fields)


def new_person() -> tuple[User, str]:
    return enrolments.enrol(
        "nina", about=enrolments.About(role="moderator"), actor="test"
    )


def test_an_administrator_adds_a_person_and_gets_a_link_once(ada: Client) -> None:
    make_moderator("mira", *TEAMS)
    response = ada.post(
        ADD, NINA | {"role": "moderator", "teams": ["legal", "finance"]}
    )

    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    code = code_on(body(response))
    nina = User.objects.get(username="nina")
    assert (nina.get_full_name(), nina.email) == ("Nina Berg", "nina@b.example")
    assert (nina.has_usable_password(), nina.is_staff) == (False, False)
    assert nina.groups.get().name == "moderator"
    assert {team.slug for team in nina.teams.all()} == {"legal", "finance"}
    row = Enrolment.objects.get(user=nina)
    assert row.sha256 == hashlib.sha256(code.encode()).hexdigest()
    assert timedelta(hours=71) < row.expires_at - timezone.now() <= timedelta(hours=72)
    entries = Entry.objects.filter(subject="user:nina").order_by("pk")
    assert [one.action for one in entries] == [
        "person_added",
        "teams_changed",
        "enrolment_link_made",
    ]
    assert code not in str([one.detail for one in entries])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"username": "ADA"}, "There is already somebody called ADA."),
        ({"username": "nina berg"}, "Enter a valid username"),
        ({"username": ""}, "This field is required"),
        ({"email": "ADA@b.example"}, "Somebody else has the address"),
        ({"name": "a\u200bb"}, "characters that cannot be seen"),
        ({"role": "emperor"}, "Select a valid choice"),
    ],
)
def test_what_is_wrong_adds_nobody(
    ada: Client, fields: dict[str, str], said: str
) -> None:
    User.objects.filter(username="ada").update(email="ada@b.example")

    response = ada.post(ADD, NINA | {"role": "lead"} | fields)

    assert response.status_code == 422
    assert said in body(response)
    assert User.objects.count() == 1
    assert not Entry.objects.exists()


def test_the_link_lets_a_person_choose_a_password_once() -> None:
    _, code = new_person()
    visitor = Client()

    asked = visitor.post(ENROL, {"code": code})
    chosen = choose(code)

    assert "You sign in as" in body(asked)
    assert 'value="nina"' in body(asked)
    assert "no-store" in asked["Cache-Control"]
    assert chosen["Location"] == reverse("account_login")
    nina = User.objects.get(username="nina")
    assert nina.check_password(PASSWORD)
    entry = Entry.objects.latest("pk")
    assert (entry.actor, entry.action) == ("nina", "password_chosen")
    assert code not in str(entry.detail)
    again = choose(code, "another that is fine", "another that is fine")
    assert again.status_code == 410
    assert "a link works once" in body(again)
    assert User.objects.get(username="nina").check_password(PASSWORD)


@pytest.mark.parametrize(
    ("password", "again", "said"),
    [
        (PASSWORD, "something else", "two password fields"),
        ("nina", "nina", "too short"),
        ("12345678901", "12345678901", "entirely numeric"),
    ],
)
def test_a_poor_password_leaves_the_link_as_it_is(
    password: str, again: str, said: str
) -> None:
    _, code = new_person()

    refused = choose(code, password, again)

    assert refused.status_code == 422
    assert said in body(refused)
    assert password not in body(refused) or password == "nina"
    assert choose(code).status_code == 302


def test_a_new_link_takes_the_place_of_the_old(ada: Client) -> None:
    nina, old = new_person()

    response = ada.post(reverse("accounts:link", args=[nina.pk]))

    refused = choose(old)
    assert refused.status_code == 410
    assert "a newer one has taken its place" in body(refused)
    assert "Ask an administrator for a new one" in body(refused)
    assert choose(code_on(body(response))).status_code == 302
    assert Entry.objects.filter(action="enrolment_link_made").count() == 2


def test_a_link_expires() -> None:
    _, code = new_person()
    Enrolment.objects.update(expires_at=timezone.now())

    for refused in (choose(code), Client().post(ENROL, {"code": code})):
        assert refused.status_code == 410
        assert "It has expired; a link is valid for 72 hours." in body(refused)
    assert not User.objects.get(username="nina").has_usable_password()


def test_a_link_of_who_is_disabled_opens_nothing(ada: Client) -> None:
    nina, code = new_person()
    User.objects.filter(pk=nina.pk).update(is_active=False)

    assert "The account is disabled" in body(choose(code))
    response = ada.post(reverse("accounts:link", args=[nina.pk]))
    assert response.status_code == 409
    assert "nina is disabled. Enable the account first." in body(response)


def test_a_forgotten_password_is_chosen_anew_and_old_sessions_end(ada: Client) -> None:
    mira, own = make_moderator(), Client()
    own.force_login(mira)
    response = ada.post(reverse("accounts:link", args=[mira.pk]))
    assert own.get("/queue/").status_code == 200

    choose(code_on(body(response)))

    assert own.get("/queue/").status_code == 302
    assert Entry.objects.latest("pk").detail == {
        "by": "enrolment link",
        "sessions_ended": 1,
    }


def test_whoever_was_signed_in_in_that_browser_no_longer_is(ada: Client) -> None:
    _, code = new_person()
    fields = {"code": code, "new_password1": PASSWORD, "new_password2": PASSWORD}

    ada.post(ENROL, fields)

    assert ada.get("/")["Location"].startswith(reverse("account_login"))


def test_the_page_asks_for_the_code_where_no_script_fills_it_in() -> None:
    asked, refused = Client().get(ENROL), Client().post(ENROL)

    assert "what follows # in your link" in body(asked)
    assert "no-store" in asked["Cache-Control"]
    assert refused.status_code == 422


# The command


def enrol(*arguments: str) -> str:
    out = StringIO()
    call_command("enrol", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


def test_the_command_enrols_the_first_administrator() -> None:
    link = enrol("ada", "--role", "admin", "--site", "https://ilk.example/")

    address, code = link.split("#")
    assert address == "https://ilk.example/accounts/enrol/"
    assert choose(code).status_code == 302
    assert User.objects.get(username="ada").has_perm("auth.change_user")
    assert User.objects.get(username="ada").is_staff
    actors = Entry.objects.exclude(action="password_chosen").values_list(
        "actor", flat=True
    )
    assert {actor.split(":")[0] for actor in actors} == {"shell"}


def test_the_command_lets_somebody_in_again_and_gives_a_role() -> None:
    mira = make_moderator()

    link = enrol("mira", "--role", "admin")

    assert link.startswith("http")
    assert mira.groups.get().name == "admin"
    assert Enrolment.objects.get().user == mira


def test_the_command_says_why_it_makes_no_link() -> None:
    make_user("ada", "admin")
    make_user("gone", is_active=False)

    for arguments, said in [
        (["nina berg"], "Enter a valid username"),
        (["gone"], "gone is disabled"),
        (["ada", "--role", "viewer"], "ada is the last active administrator"),
        (["nina", "--role", "emperor"], "invalid choice"),
    ]:
        with pytest.raises(CommandError, match=said):
            enrol(*arguments)
    assert not Enrolment.objects.exists()
    assert not Entry.objects.exists()


def test_nobody_adds_people_who_is_no_administrator_any_more() -> None:
    ada = make_user("ada", "admin")
    make_user("ben", "admin")
    people.set_role(ada.pk, "viewer", actor="ben")

    with pytest.raises(people.NoLongerAllowedError):
        enrolments.enrol("nina", about=enrolments.About(), actor=ada)
    assert not User.objects.filter(username="nina").exists()
