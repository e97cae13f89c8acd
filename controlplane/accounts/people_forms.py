"""What people type on the pages of people and tokens."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib.auth.models import User
from django.http import HttpRequest

from controlplane.accounts.actions import DAYS, MAX_DAYS, MAX_NAME
from controlplane.accounts.directory import NO_ROLE, STATES
from controlplane.accounts.models import Team
from controlplane.accounts.roles import ROLES, WORDS
from controlplane.accounts.table import SCOPES

MAX_CHARS = 150
MAX_ID = 2**63 - 1  # PostgreSQL has no larger ones
NOTHING = "Can sign in, and see nothing yet."
# What a token with a scope may do, in words.
SCOPE_WORDS = {
    "events:write": "Send messages in, as an end user's channel does.",
    "traces:read": "Read traces.",
    "approvals:read": "Read what waits for a decision.",
    "approvals:decide": "Decide on held answers, in your name.",
    "runtime:read": "Read workers, versions, lag and metrics.",
    "stops:read": "Read stops.",
    "stops:write": "Stop agents, in your name.",
    "stops:release": "Release stops, in your name.",
}


class FilterForm(forms.Form):
    """Of an empty one: everybody."""

    words = forms.CharField(
        required=False,
        max_length=MAX_CHARS,
        label="Name or e-mail",
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    role = forms.ChoiceField(
        required=False,
        choices=[("", "Any"), *((role, role) for role in ROLES), (NO_ROLE, "none")],
    )
    state = forms.ChoiceField(
        required=False, choices=[("", "Any"), *((state, state) for state in STATES)]
    )
    after = forms.CharField(
        required=False, max_length=MAX_CHARS, widget=forms.HiddenInput
    )

    def __init__(self, data: Any) -> None:
        super().__init__(data, auto_id="filter-%s", label_suffix="")

    @property
    def is_narrow(self) -> bool:
        return any(self.data.get(name) for name in ("words", "role", "state"))


class EntriesForm(forms.Form):
    """Where a page of the log begins."""

    before = forms.IntegerField(required=False, min_value=1, max_value=MAX_ID)


class PersonForm(forms.Form):
    """Who somebody is. A name of one line, whatever it is made of."""

    name = forms.CharField(required=False, max_length=MAX_CHARS, label="Name")
    email = forms.EmailField(required=False, max_length=254, label="E-mail")

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, auto_id="person-%s", label_suffix="", **options)

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not name.isprintable():
            raise forms.ValidationError("It holds characters that cannot be seen.")
        return name


def role_field(**options: Any) -> forms.ChoiceField:
    return forms.ChoiceField(
        required=False,
        choices=[*WORDS.items(), ("", NOTHING)],
        widget=forms.RadioSelect,
        label="Role",
        **options,
    )


class RoleForm(forms.Form):
    role = role_field()

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, auto_id="role-%s", label_suffix="", **options)


class TeamsForm(forms.Form):
    teams = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Teams"
    )

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, auto_id="teams-%s", label_suffix="", **options)
        _offer_teams(self)


def _offer_teams(form: forms.Form) -> None:
    teams = Team.objects.order_by("name", "pk").values_list("slug", "name")
    form.fields["teams"].choices = list(teams)  # type: ignore[attr-defined]


class AddForm(PersonForm):
    username = forms.CharField(
        max_length=MAX_CHARS,
        label="User name",
        help_text="Stays as it is: the history names people by it.",
        validators=[User.username_validator],
        widget=forms.TextInput(attrs={"autocapitalize": "none", "autocomplete": "off"}),
    )
    role = role_field()
    teams = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Teams"
    )
    field_order = ("username", "name", "email", "role", "teams")

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, **options)
        _offer_teams(self)


class CodeForm(forms.Form):
    code = forms.CharField(
        max_length=100,
        label="Code: what follows # in your link",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, label_suffix="")


class TokenFilterForm(forms.Form):
    """Of an empty one: those that can be used."""

    words = forms.CharField(
        required=False,
        max_length=MAX_CHARS,
        label="User or name",
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    ended = forms.BooleanField(required=False, label="Also those that ended")
    before = forms.IntegerField(
        required=False, min_value=1, max_value=MAX_ID, widget=forms.HiddenInput
    )

    def __init__(self, data: Any) -> None:
        super().__init__(data, auto_id="filter-%s", label_suffix="")


class TokenForm(forms.Form):
    """A new token of one's own. It can be given what the person may do himself."""

    name = forms.CharField(max_length=MAX_NAME, label="What it is for")
    scopes = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple,
        label="What it may do",
        error_messages={"required": "Choose at least one."},
    )
    days = forms.IntegerField(
        min_value=1, max_value=MAX_DAYS, initial=DAYS, label="Valid for, days"
    )

    def __init__(self, user: User, data: Any = None) -> None:
        super().__init__(data, auto_id="token-%s", label_suffix="")
        self.fields["scopes"].choices = [  # type: ignore[attr-defined]
            (scope, SCOPE_WORDS[scope]) for scope in scopes_of(user)
        ]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not name.isprintable():
            raise forms.ValidationError("It holds characters that cannot be seen.")
        return name


def scopes_of(user: User) -> list[str]:
    return [
        scope for scope, needs in SCOPES.items() if not needs or user.has_perm(needs)
    ]


def query_of(request: HttpRequest, place: str) -> str:
    """Return what was filtered by, without where the page begins."""
    kept = {k: v for k, v in request.GET.items() if v and k != place}
    return urlencode(kept)
