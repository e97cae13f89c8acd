"""What people type on the pages of teams."""

from typing import Any

from django import forms
from django.contrib.auth.models import User

from controlplane.accounts.models import Team


class AddTeamForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    class Meta:
        model = Team
        fields = ("name", "slug")
        labels = {"slug": "Short name"}
        help_texts = {"slug": "As rules and topics name it. It stays as it is."}

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="team-%s", label_suffix="")

    def clean_name(self) -> str:
        return clean_line(self.cleaned_data["name"])


class TeamForm(forms.Form):
    name = forms.CharField(max_length=100, label="Name")

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, auto_id="team-%s", label_suffix="", **options)

    def clean_name(self) -> str:
        return clean_line(self.cleaned_data["name"])


class JoinForm(forms.Form):
    """Who joins, by user name."""

    username = forms.CharField(
        max_length=150,
        label="User name",
        widget=forms.TextInput(
            attrs={
                "list": "candidates",
                "autocomplete": "off",
                "autocapitalize": "none",
            }
        ),
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="join-%s", label_suffix="")

    def clean_username(self) -> User:
        name = self.cleaned_data["username"]
        found = User.objects.filter(username=name, is_active=True).first()
        if found is None:
            raise forms.ValidationError("Nobody who can sign in has this user name.")
        return found


def clean_line(text: str) -> str:
    if not text.isprintable():
        raise forms.ValidationError("It holds characters that cannot be seen.")
    return text
