"""Routes of signing in and of oneself, by the names under which allauth asks for them."""

from allauth.account import views as account
from django.urls import path

from controlplane.accounts import factor_views as factor
from controlplane.accounts import me_views as me
from controlplane.accounts import sign_in, sso

urlpatterns = [
    path("login/", sign_in.SignInView.as_view(), name="account_login"),
    path("login/code/", sign_in.SecondStepView.as_view(), name="mfa_authenticate"),
    path(
        "login/passkey/",
        sign_in.PasskeySignInView.as_view(),
        name="mfa_login_webauthn",
    ),
    path("sso/", sso.start, {"provider_id": sso.PROVIDER}, name="openid_connect_login"),
    path(
        "sso/callback/",
        sso.callback,
        {"provider_id": sso.PROVIDER},
        name="openid_connect_callback",
    ),
    path("logout/", account.logout, name="account_logout"),
    path("inactive/", account.account_inactive, name="account_inactive"),
    path("again/", sign_in.PasswordAgainView.as_view(), name="account_reauthenticate"),
    path("again/code/", sign_in.CodeAgainView.as_view(), name="mfa_reauthenticate"),
    path(
        "again/passkey/",
        sign_in.PasskeyAgainView.as_view(),
        name="mfa_reauthenticate_webauthn",
    ),
    path("again/go-on/", sign_in.go_on, name="account_go_on"),
    path("me/", me.me, name="account_me"),
    path("me/sessions/", me.end_sessions, name="account_end_sessions"),
    path(
        "me/password/", me.ChangePasswordView.as_view(), name="account_change_password"
    ),
    path("me/password/new/", me.SetPasswordView.as_view(), name="account_set_password"),
    path("me/app/", factor.NewAppView.as_view(), name="mfa_activate_totp"),
    path("me/app/remove/", factor.RemoveAppView.as_view(), name="mfa_deactivate_totp"),
    path("me/passkeys/", factor.NewPasskeyView.as_view(), name="mfa_add_webauthn"),
    path(
        "me/passkeys/<int:pk>/",
        factor.RenamePasskeyView.as_view(),
        name="mfa_edit_webauthn",
    ),
    path(
        "me/passkeys/<int:pk>/remove/",
        factor.RemovePasskeyView.as_view(),
        name="mfa_remove_webauthn",
    ),
    path("me/codes/", factor.CodesView.as_view(), name="mfa_view_recovery_codes"),
    path(
        "me/codes/new/",
        factor.NewCodesView.as_view(),
        name="mfa_generate_recovery_codes",
    ),
]
