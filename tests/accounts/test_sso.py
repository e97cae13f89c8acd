"""Single sign-on: who comes from the provider is let in if an administrator has enrolled them."""

from collections.abc import Iterator
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from controlplane import environment
from controlplane.audit.models import Entry
from tests.accounts.clock import code_of
from tests.accounts.provider import CLIENT, Provider, new_key, running
from tests.factories import make_user

pytestmark = pytest.mark.django_db
START, LOGIN = "/accounts/sso/", reverse("account_login")
ME = reverse("account_me")
LENA = {"sub": "idp|7", "email": "Lena@Example.com", "email_verified": True}


@pytest.fixture(scope="module")
def server() -> Iterator[Provider]:
    with running() as provider:
        yield provider


@pytest.fixture
def provider(
    server: Provider, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Provider:
    server.claims, server.userinfo = dict(LENA), {}
    server.signing_key, server.is_broken = server.key, False
    server.audience = CLIENT["client_id"]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    settings.SOCIALACCOUNT_PROVIDERS = configured(f"{server.url}/")
    return server


def configured(url: str, *, is_https_needed: bool = False, **given: Any) -> Any:
    """The settings as the environment's variables make them."""
    told = {
        "client_id": CLIENT["client_id"],
        "secret": CLIENT["client_secret"],
        "label": "Example ID",
        "verified_domains": ["trusted.example"],
    } | given
    return environment.openid_connect(url, is_https_needed=is_https_needed, **told)


@pytest.fixture
def lena() -> User:
    return make_user("lena", "lead", email="lena@example.com")


def come(client: Client, provider: Provider, path: str = START) -> Any:
    """Go to the provider and back, as a browser does."""
    sent = client.get(path)
    assert sent["Location"].startswith(f"{provider.url}/authorize?")
    return client.get(provider.allow(sent["Location"]))


def text(response: Any) -> str:
    return str(response.content.decode())


def is_in(client: Client) -> bool:
    return client.get(ME).status_code == 200


def test_who_is_enrolled_with_this_address_comes_in_and_goes_on(
    client: Client, provider: Provider, lena: User
) -> None:
    html = text(client.get(f"{LOGIN}?next=/queue/?team=x"))
    assert "Sign in with Example ID" in html
    assert 'href="/accounts/sso/?next=%2Fqueue%2F%3Fteam%3Dx"' in html

    answer = come(client, provider, f"{START}?next=/queue/")

    assert answer["Location"] == "/queue/"
    assert is_in(client)
    [identity] = SocialAccount.objects.all()
    assert (identity.user, identity.uid) == (lena, "idp|7")
    assert identity.extra_data == {}
    actions = list(Entry.objects.order_by("pk").values_list("action", flat=True))
    assert actions == ["sso_connected", "signed_in"]


def test_afterwards_the_identity_counts_and_not_the_address(
    client: Client, provider: Provider, lena: User
) -> None:
    come(client, provider)
    provider.claims |= {"email": "lena@married.example", "email_verified": False}

    come(other := Client(), provider)

    assert is_in(other)


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"email": "nobody@example.com"}, "nobody here has your e-mail address"),
        (
            {"email_verified": False},
            "does not say that your e-mail address is verified",
        ),
        ({"email_verified": None}, "does not say that your e-mail address is verified"),
        ({"email": None}, "does not say that your e-mail address is verified"),
    ],
)
def test_who_is_not_enrolled_is_told_so(
    client: Client, provider: Provider, lena: User, claims: dict[str, Any], said: str
) -> None:
    provider.claims |= claims

    answer = come(client, provider)

    assert answer.status_code == 403
    assert said in text(answer)
    assert not is_in(client)
    assert User.objects.count() == 1
    assert said in Entry.objects.get(action="sign_in_failed").detail["reason"]


def test_an_address_that_two_people_have_is_nobodys(
    client: Client, provider: Provider, lena: User
) -> None:
    make_user("lena2", "admin", email="LENA@example.com")

    assert come(client, provider).status_code == 403


def test_who_is_no_longer_active_stays_outside(
    client: Client, provider: Provider, lena: User
) -> None:
    come(client, provider)
    User.objects.update(is_active=False)

    come(other := Client(), provider)

    assert not is_in(other)


def test_another_identity_with_the_same_address_is_refused(
    client: Client, provider: Provider, lena: User
) -> None:
    come(client, provider)
    provider.claims["sub"] = "idp|8"

    answer = come(other := Client(), provider)

    assert "belongs to another identity" in text(answer)
    assert not is_in(other)


def test_a_domain_can_be_trusted_whose_provider_verifies_nothing(
    client: Client, provider: Provider, lena: User
) -> None:
    User.objects.update(email="lena@trusted.example")
    provider.claims = {"sub": "idp|7", "email": "lena@trusted.example"}

    come(client, provider)

    assert is_in(client)


def test_a_second_factor_is_asked_for_here_too(
    client: Client, provider: Provider, lena: User
) -> None:
    TOTP.activate(lena, key := generate_totp_secret())

    assert come(client, provider)["Location"] == reverse("mfa_authenticate")
    assert not is_in(client)
    client.post(reverse("mfa_authenticate"), {"code": code_of(key)})
    assert is_in(client)


# What does not come from the provider, or is not for us


def test_a_token_that_others_signed_is_refused(
    client: Client, provider: Provider, lena: User
) -> None:
    provider.signing_key = new_key()

    assert come(client, provider).status_code == 403
    assert not is_in(client)


def test_a_token_for_others_is_refused(
    client: Client, provider: Provider, lena: User
) -> None:
    provider.audience = "another client"

    assert come(client, provider).status_code == 403
    assert not is_in(client)


def test_answers_about_two_people_are_refused(
    client: Client, provider: Provider, lena: User
) -> None:
    provider.userinfo = {"sub": "idp|9"}

    assert come(client, provider).status_code == 403
    assert not is_in(client)


def test_the_way_back_of_another_browser_is_refused(
    client: Client, provider: Provider, lena: User
) -> None:
    back = provider.allow(client.get(START)["Location"])
    other = Client()

    assert other.get(back).status_code == 403
    assert not is_in(other)


def test_who_turns_back_at_the_provider_is_told_that_nothing_happened(
    client: Client, provider: Provider
) -> None:
    state = provider.allow(client.get(START)["Location"]).partition("state=")[2]

    answer = client.get(f"{START}callback/?error=access_denied&state={state}")

    assert "not signed in by single sign-on" in text(answer)


def test_nobody_binds_an_identity_to_the_account_he_is_signed_in_to(
    client: Client, provider: Provider, lena: User
) -> None:
    mallory = make_user("mallory", "admin")
    client.force_login(mallory)

    answer = come(client, provider, f"{START}?process=connect")

    assert answer.status_code == 403
    assert not SocialAccount.objects.exists()


def test_a_provider_that_does_not_answer_is_said_to(
    client: Client, provider: Provider, lena: User
) -> None:
    provider.is_broken = True

    answer = client.get(START)

    assert answer.status_code == 503
    assert "did not answer as it should" in text(answer)
    assert client.get(LOGIN).status_code == 200


def test_an_answer_that_lacks_what_is_needed_signs_nobody_in(
    client: Client, provider: Provider, lena: User
) -> None:
    del provider.claims["sub"]

    assert come(client, provider).status_code == 503
    assert not is_in(client)


def test_refusals_have_an_end_too(client: Client, provider: Provider) -> None:
    for _ in range(30):
        assert client.get(f"{START}callback/?code=x&state=x").status_code == 403

    answer = client.get(f"{START}callback/?code=x&state=x")

    assert answer.status_code == 429
    assert "Try again in 5 minutes" in text(answer)
    assert Entry.objects.filter(action="sign_in_failed").count() == 30


# Who it is, asked again


def test_who_has_nothing_but_single_sign_on_shows_there_who_it_is(
    client: Client, provider: Provider, lena: User
) -> None:
    lena.set_unusable_password()
    lena.save()
    come(client, provider)
    wanted = reverse("account_set_password")

    asked = client.get(wanted, follow=True)
    assert asked.redirect_chain[-1][0].startswith(f"{provider.url}/authorize?")
    answer = client.get(provider.allow(asked.redirect_chain[-1][0]))

    assert provider.asked[-1]["prompt"] == "login"
    assert answer["Location"] == wanted
    assert client.get(wanted).status_code == 200
    age_proof(client)
    assert client.get(wanted).status_code == 302


def test_a_proof_of_hours_ago_is_no_proof_of_now(
    client: Client, provider: Provider, lena: User
) -> None:
    come(client, provider)  # the provider did not say when it saw one

    assert client.get(reverse("mfa_activate_totp")).status_code == 302


def age_proof(client: Client) -> None:
    session = client.session
    session["sso_auth_time"] -= 301
    session.save()


# Settings


def test_without_a_provider_there_is_neither_a_button_nor_a_way(client: Client) -> None:
    assert "Sign in with Example" not in text(client.get(LOGIN))
    assert client.get(START).status_code == 404
    assert client.get(f"{START}callback/?code=x&state=x").status_code == 404


def test_a_provider_without_tls_is_refused_outside_of_a_developers_machine() -> None:
    with pytest.raises(environment.SettingError, match="must be an https:// URL"):
        configured("http://id.example", is_https_needed=True)


def test_a_provider_that_is_half_configured_is_said_to() -> None:
    with pytest.raises(environment.SettingError, match="INTERLOCK_OIDC_CLIENT_ID"):
        configured("https://id.example", client_id="")


def test_no_url_is_no_provider() -> None:
    assert configured("") == {}
