"""What a person filters by, chooses and says."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import QueryDict

from controlplane.deadletters.actions import NO_REASON
from controlplane.deadletters.models import Job, Letter, LetterQuerySet
from controlplane.deadletters.sinks import MAX_BIGINT, number

REASON_MAX_CHARS = 1_000
ALL = "all"


class FilterForm(forms.Form):
    """Of an empty one: the open letters."""

    state = forms.ChoiceField(
        choices=[*Letter.State.choices, (ALL, "All")], required=False
    )
    agent = forms.ChoiceField(required=False)
    topic = forms.ChoiceField(required=False, label="Read from")
    reason = forms.CharField(
        required=False,
        max_length=200,
        label="Reason holds",
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    since = forms.DateTimeField(required=False, label="From, UTC")
    until = forms.DateTimeField(required=False, label="Until, UTC")

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data, auto_id="filter-%s", label_suffix="")
        for name in ("agent", "topic"):
            self.fields[name].choices = self._choices(name)  # type: ignore[attr-defined]
        for name in ("since", "until"):
            self.fields[name].widget = forms.DateTimeInput(
                format="%Y-%m-%dT%H:%M", attrs={"type": "datetime-local"}
            )

    def _choices(self, name: str) -> list[tuple[str, str]]:
        """What letters have, and what was asked for: there may be none of it any more."""
        found = Letter.objects.order_by().values_list(name, flat=True).distinct()
        known = {*found, self.data.get(name, "")} - {""}
        return [("", "Any"), *((each, each) for each in sorted(known))]

    def clean_state(self) -> str:
        return self.cleaned_data["state"] or Letter.State.OPEN

    def letters(self) -> LetterQuerySet:
        """Return the letters that match; none if the filter cannot be understood."""
        if not self.is_valid():
            return Letter.objects.none()
        given = self.cleaned_data
        state = "" if given["state"] == ALL else given["state"]
        wanted: dict[str, Any] = {
            "state": state,
            "agent": given["agent"],
            "topic": given["topic"],
            "reason__icontains": given["reason"],
            "at__gte": given["since"],
            "at__lte": given["until"],
        }
        return Letter.objects.filter(**{k: v for k, v in wanted.items() if v})

    @property
    def is_narrow(self) -> bool:
        """Whether it asks for less than all open letters."""
        return any(self.data.get(name) for name in self.fields)


class PageForm(forms.Form):
    """Where a page of the list begins."""

    before = forms.IntegerField(required=False, min_value=1, max_value=MAX_BIGINT)


class DecisionForm(forms.Form):
    """What to do with one letter, and why. The rules about it are in actions."""

    verb = forms.ChoiceField(choices=Job.Verb.choices)
    reason = forms.CharField(
        required=False,
        max_length=REASON_MAX_CHARS,
        widget=forms.TextInput,
        label="Reason",
    )

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data, auto_id="decide-%s", label_suffix="")

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given.get("verb") == Job.Verb.DISCARD and not given.get("reason"):
            self.add_error("reason", NO_REASON)
        return given


class ManyForm(DecisionForm):
    """What to do with the chosen letters, or with all that match the filter.

    up_to: the newest letter when the page was made. What came later was not seen.
    """

    scope = forms.ChoiceField(
        choices=[("chosen", "the chosen"), ("matching", "all that match")],
        required=False,
    )
    letters = forms.TypedMultipleChoiceField(coerce=int, required=False)
    up_to = forms.IntegerField(min_value=0, max_value=MAX_BIGINT)

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data)
        chosen = data.getlist("letters") if data else []
        self.fields["letters"].choices = [  # type: ignore[attr-defined]
            (key, key) for key in chosen if number(key, MAX_BIGINT)
        ]

    def clean_scope(self) -> str:
        return self.cleaned_data["scope"] or "chosen"

    def clean(self) -> dict[str, Any]:
        given = super().clean()
        if given.get("scope") == "chosen" and not given.get("letters"):
            self.add_error("letters", "Choose letters first, or take all that match.")
        return given

    @property
    def picked(self) -> list[str]:
        """The letters that were chosen, so that an error loses none."""
        return self.data.getlist("letters") if isinstance(self.data, QueryDict) else []

    def chosen_from(self, matching: QuerySet[Letter]) -> list[int]:
        """Return the letters, the oldest first."""
        given = self.cleaned_data
        if given["scope"] == "matching":
            letters = matching.filter(state=Letter.State.OPEN, pk__lte=given["up_to"])
        else:
            letters = Letter.objects.filter(pk__in=given["letters"])
        return list(letters.order_by("pk").values_list("pk", flat=True))
