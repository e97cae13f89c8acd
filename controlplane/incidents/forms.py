"""What a person says was bad, and when."""

from typing import Any
from uuid import uuid4

from django import forms
from django.http import QueryDict

from controlplane.incidents.reached import Query
from controlplane.routing.models import Backend
from controlplane.stops.targets import names_of
from controlplane.written import MAX_REASON, MAX_TEXT
from guardrails.models import Rule

MAX_BIGINT = 2**63 - 1


class QueryForm(forms.Form):
    """All of it is optional. Names are offered, and any others that verdicts may still carry are taken."""

    rule = forms.CharField(required=False, max_length=200, label="Rule that hit")
    phrase = forms.CharField(
        required=False,
        max_length=500,
        label="Phrase in the reply",
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    agent = forms.CharField(required=False, max_length=100)
    backend = forms.CharField(required=False, max_length=100)
    since = forms.DateTimeField(required=False, label="From, UTC")
    until = forms.DateTimeField(required=False, label="Until, UTC")
    after = forms.IntegerField(
        required=False, min_value=1, max_value=MAX_BIGINT, widget=forms.HiddenInput
    )

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data, auto_id="found-%s", label_suffix="")
        for name in ("rule", "agent", "backend"):
            self.fields[name].widget = forms.TextInput(
                attrs={"list": f"known-{name}", "autocomplete": "off"}
            )
        for name in ("since", "until"):
            self.fields[name].widget = forms.DateTimeInput(
                format="%Y-%m-%dT%H:%M:%S",
                attrs={"type": "datetime-local", "step": "1"},
            )

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        since, until = given.get("since"), given.get("until")
        if since and until and since > until:
            self.add_error("until", "It ends before it begins.")
        return given

    def query(self) -> Query:
        """Return what is asked for; all of it where the form cannot be understood."""
        if not self.is_valid():
            return Query()
        return Query(
            **{name: self.cleaned_data[name] for name in Query.__struct_fields__}
        )

    @property
    def after_id(self) -> int | None:
        after: int | None = self.cleaned_data.get("after") if self.is_valid() else None
        return after


def known_names() -> dict[str, list[str]]:
    """Return what there is to choose from, by field."""
    return {
        "rule": list(Rule.objects.order_by("slug").values_list("slug", flat=True)),
        "agent": list(names_of("agent")),
        "backend": list(
            Backend.objects.order_by("name").values_list("name", flat=True)
        ),
    }


class CorrectionForm(forms.Form):
    """A correction. Its id is the form's own, so that pressing twice sends it once."""

    text = forms.CharField(
        label="What everybody gets who was reached",
        max_length=MAX_TEXT,
        widget=forms.Textarea(attrs={"rows": 6}),
        error_messages={"required": "Write what they are to get."},
    )
    reason = forms.CharField(
        label="Why (goes to the log)",
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": "Say why."},
    )
    override = forms.BooleanField(
        label="Send it although a rule would hold it; I have given the reason",
        required=False,
    )
    correction_id = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data, auto_id="correct-%s", label_suffix="")

    def correction(self) -> dict[str, Any]:
        """Return what actions.send_correction takes of it."""
        return {
            name: self.cleaned_data[name]
            for name in ("text", "reason", "override", "correction_id")
        }


class SendForm(CorrectionForm):
    """With the list of who gets it before one's eyes: of when it is, and how many were on it."""

    although_moved_on = forms.BooleanField(required=False)
    as_of = forms.DateTimeField()
    expected = forms.IntegerField(min_value=0)

    def correction(self) -> dict[str, Any]:
        given = self.cleaned_data["although_moved_on"]
        return super().correction() | {"although_moved_on": given}
