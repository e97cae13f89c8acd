"""Second factors: codes of an app, recovery codes, and the roles that must have one."""

import re
from io import StringIO
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from controlplane.accounts import table
from controlplane.accounts.access import may
from controlplane.accounts.models import Attempts
from controlplane.accounts.second_factor import check_roles
from controlplane.audit.models import Entry
from controlplane.environment import SettingError
from tests.accounts.clock import code_of
from tests.factories import make_user, sign_in_now

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
CODE = reverse("mfa_authenticate")
ME = reverse("account_me")
ADD_APP, REMOVE_APP = reverse("mfa_activate_totp"), reverse("mfa_deactivate_totp")
CODES, NEW_CODES = (
    reverse("mfa_view_recovery_codes"),
    reverse("mfa_generate_recovery_codes"),
)


@pytest.fixture
def lena() -> User:
    return make_user("lena", "lead")


@pytest.fixture
def secret(lena: User) -> str:
    """The key of the app that Lena has."""
    key = generate_totp_secret()
    TOTP.activate(lena, key)
    return key


def enter(client: Client, code: str = "", **fields: str) -> Any:
    """Sign in with the password, and with a code if one is given."""
    first = client.post(
        reverse("account_login"), {"login": "lena", "password": PASSWORD} | fields
    )
    return client.post(CODE, {"code": code}) if code else first


def is_in(client: Client) -> bool:
    return client.get(ME).status_code == 200


def test_the_password_alone_lets_nobody_in_who_has_an_app(
    client: Client, secret: str
) -> None:
    assert enter(client, next="/queue/")["Location"] == CODE
    assert not is_in(client)

    answer = client.post(CODE, {"code": code_of(secret)})

    assert answer["Location"] == "/queue/"
    assert is_in(client)
    entry = Entry.objects.get(action="signed_in")
    assert entry.detail == {"by": ["password", "totp"], "address": "127.0.0.1"}


def test_a_code_is_good_for_once(client: Client, secret: str) -> None:
    code = code_of(secret)
    enter(client, code)

    other = Client()
    refused = enter(other, code)

    assert refused.status_code == 422
    assert "used before" in refused.content.decode()
    assert not is_in(other)


@pytest.mark.parametrize(("periods", "is_good"), [(-2, False), (-1, True), (2, False)])
def test_a_clock_may_be_off_by_half_a_minute(
    client: Client, secret: str, periods: int, *, is_good: bool
) -> None:
    enter(client, code_of(secret, periods=periods))

    assert is_in(client) is is_good


def test_wrong_codes_have_to_wait_and_the_wait_ends(
    client: Client, secret: str
) -> None:
    for _ in range(5):
        assert enter(client, "000000").status_code == 422

    refused = enter(client, code_of(secret))

    assert refused.status_code == 429
    assert "Try again in 5 minutes" in refused.content.decode()
    entries = Entry.objects.filter(action="sign_in_failed", detail__by="code")
    assert entries.count() == 5
    Attempts.objects.all().delete()
    enter(client, code_of(secret))
    assert is_in(client)


def test_used_codes_are_kept_where_every_process_sees_them(
    client: Client, secret: str
) -> None:
    enter(client, code_of(secret))

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM accounts_cache")
        assert cursor.fetchone() == (1,)


# Adding and removing


def add_app(client: Client) -> str:
    page = client.get(ADD_APP).content.decode()
    [key] = re.findall(r'<dd class="mono">([A-Z2-7 ]+)</dd>', page)
    answer = client.post(ADD_APP, {"code": code_of(key)})
    assert answer["Location"] == CODES
    return str(key)


def codes_on(page: Any) -> list[str]:
    return re.findall(r"<li>(\d{8})</li>", page.content.decode())


def test_an_app_is_added_with_a_code_of_it_and_brings_recovery_codes(
    client: Client, lena: User
) -> None:
    sign_in_now(client, lena)

    key = add_app(client)

    codes = codes_on(client.get(CODES))
    assert len(set(codes)) == 10
    added = Entry.objects.filter(action="factor_added").order_by("pk")
    assert [each.detail["type"] for each in added] == ["totp", "recovery_codes"]
    assert {each.subject for each in added} == {"user:lena"}
    enter(Client(), code_of(key))
    assert Entry.objects.filter(action="signed_in").count() == 1


def test_a_wrong_code_adds_no_app(client: Client, lena: User) -> None:
    sign_in_now(client, lena)
    client.get(ADD_APP)

    assert client.post(ADD_APP, {"code": "000000"}).status_code == 422
    assert not Authenticator.objects.exists()


def test_recovery_codes_are_shown_once_and_each_is_good_for_once(
    client: Client, lena: User
) -> None:
    sign_in_now(client, lena)
    add_app(client)
    codes = codes_on(client.get(CODES))
    assert codes_on(client.get(CODES)) == []

    first, second = Client(), Client()
    enter(first, codes[3])
    enter(second, codes[3])

    assert is_in(first)
    assert not is_in(second)
    assert "9 of 10 left" in first.get(ME).content.decode()


def test_new_recovery_codes_take_the_place_of_the_old(
    client: Client, lena: User
) -> None:
    sign_in_now(client, lena)
    add_app(client)
    old = codes_on(client.get(CODES))

    assert client.post(NEW_CODES)["Location"] == CODES

    new = codes_on(client.get(CODES))
    assert len(new) == 10
    assert not set(old) & set(new)
    enter(other := Client(), old[0])
    assert not is_in(other)


def test_without_a_factor_there_are_no_recovery_codes(
    client: Client, lena: User
) -> None:
    sign_in_now(client, lena)

    assert client.get(CODES).status_code == 404
    assert client.post(NEW_CODES).status_code == 422


def test_removing_the_app_is_written_down_and_takes_the_codes_with_it(
    client: Client, lena: User, secret: str
) -> None:
    sign_in_now(client, lena)

    assert client.post(REMOVE_APP)["Location"] == ME

    assert not Authenticator.objects.exists()
    entry = Entry.objects.get(action="factor_removed")
    assert (entry.actor, entry.detail) == ("lena", {"type": "totp"})


def test_the_key_of_an_app_is_not_in_the_database_as_it_is(secret: str) -> None:
    [row] = Authenticator.objects.all()

    assert secret not in str(row.data)


def test_a_key_that_cannot_be_read_any_more_lets_nobody_in(
    client: Client, secret: str, settings: Any
) -> None:
    settings.FACTOR_SECRET = "another"

    for code in (code_of(secret), code_of("A" * 32)):
        assert enter(client, code).status_code == 422


def test_codes_and_passkeys_that_are_nonsense_are_refused_as_such(
    client: Client, lena: User, secret: str
) -> None:
    login, again = reverse("mfa_login_webauthn"), reverse("mfa_reauthenticate_webauthn")
    add = reverse("mfa_add_webauthn")
    nonsense = ["", "{", "[]", "1", "null", '"x"', "{}", '{"response": 1}']
    shape = '{"id": "YQ", "rawId": "YQ", "type": "public-key", "response": {%s}}'
    parts = '"clientDataJSON": "%s", "attestationObject": "%s", "authenticatorData": "%s", "signature": "%s", "userHandle": "MQ"'
    nonsense += [shape % (parts % ((bad,) * 4)) for bad in ("", "!", "AAAA", "e30")]
    nonsense += [
        '{"response": {"userHandle": "YQ"}}',
        '{"response": {"userHandle": 1}}',
    ]
    for credential in nonsense:
        Attempts.objects.all().delete()
        answer = client.post(login, {"credential": credential})
        assert answer["Location"] == reverse("account_login"), credential
    sign_in_now(client, lena)
    for credential in nonsense:
        Attempts.objects.all().delete()
        client.get(add)
        answer = client.post(add, {"credential": credential, "name": "x"})
        assert answer.status_code == 422, credential
        assert client.post(again, {"credential": credential}).status_code in {302, 422}


# Roles that must have one


@pytest.fixture
def must_have(settings: Any) -> None:
    settings.SECOND_FACTOR_ROLES = ["admin", "lead"]


@pytest.mark.usefixtures("must_have")
def test_who_lacks_one_opens_nothing_but_what_sets_one_up(
    client: Client, lena: User
) -> None:
    sign_in_now(client, lena)

    for path in ("/", "/queue/", "/dlq/", "/admin/"):
        assert client.get(path)["Location"] == ME, path
    assert client.get("/room/", headers={"HX-Request": "true"})["HX-Redirect"] == ME
    assert "Your role needs a second factor" in client.get(ME).content.decode()
    assert not may(lena, table.SOCKETS["ws/queue/"])
    add_app(client)
    assert client.get("/queue/").status_code == 200
    assert may(lena, table.SOCKETS["ws/queue/"])


@pytest.mark.usefixtures("must_have")
def test_other_roles_need_none_and_superusers_do(client: Client) -> None:
    client.force_login(make_user("mira", "moderator"))
    assert client.get("/queue/").status_code == 200

    client.force_login(make_user("root", is_superuser=True))
    assert client.get("/queue/")["Location"] == ME


@pytest.mark.usefixtures("must_have")
def test_the_last_one_stays_where_one_is_needed(
    client: Client, lena: User, secret: str
) -> None:
    sign_in_now(client, lena)

    refused = client.get(REMOVE_APP)

    assert "Add another one first" in refused.content.decode()
    assert client.post(REMOVE_APP).status_code == 422
    assert Authenticator.objects.count() == 1


def test_a_role_that_is_misspelt_is_said_at_the_start(settings: Any) -> None:
    settings.SECOND_FACTOR_ROLES = ["admins"]

    with pytest.raises(SettingError, match="'admins'; there are: viewer"):
        check_roles()


# Who has lost his


def test_an_administrator_can_have_somebodys_factors_forgotten(
    client: Client, lena: User, secret: str
) -> None:
    enter(client, code_of(secret))
    said = StringIO()

    call_command("forget_factors", "--user", "lena", stdout=said)

    assert "(1 removed)" in said.getvalue()
    assert not Authenticator.objects.exists()
    assert not is_in(client)
    entry = Entry.objects.get(action="factors_forgotten")
    assert entry.actor.startswith("shell:")


def test_nobodys_factors_cannot_be_forgotten() -> None:
    with pytest.raises(CommandError, match="no user 'lina'"):
        call_command("forget_factors", "--user", "lina")
