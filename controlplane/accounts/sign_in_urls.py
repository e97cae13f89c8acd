"""Routes of signing in. The names without a namespace are those by which allauth asks for them."""

from allauth.account import views
from django.urls import path

from controlplane.accounts import sign_in

urlpatterns = [
    path("login/", sign_in.SignInView.as_view(), name="account_login"),
    path("logout/", views.logout, name="account_logout"),
    path("inactive/", views.account_inactive, name="account_inactive"),
    path(
        "reauthenticate/",
        sign_in.ReauthenticateView.as_view(),
        name="account_reauthenticate",
    ),
    path("go-on/", sign_in.go_on, name="account_go_on"),
]
