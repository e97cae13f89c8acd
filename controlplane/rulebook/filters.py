"""What the list of rules is narrowed by."""

from django import forms
from django.db.models import Q, QuerySet
from django.http import QueryDict

from guardrails.models import Rule

_ANY = ("", "Any")


def _choice(label: str, choices: list[tuple[str, str]]) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=[_ANY, *choices], required=False)


class FilterForm(forms.Form):
    words = forms.CharField(
        label="Find a rule",
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "name or id"}),
    )
    mode = _choice("Mode", Rule.Mode.choices)
    kind = _choice("Kind", Rule.Kind.choices)
    action = _choice("Action", Rule.Action.choices)
    direction = _choice("Direction", Rule.Direction.choices)

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data, auto_id="filter-%s", label_suffix="")

    def chosen(self) -> "QuerySet[Rule]":
        """Return the rules that are asked for; none if the filter cannot be understood."""
        if not self.is_valid():
            return Rule.objects.none()
        given = self.cleaned_data
        words = Q(name__icontains=given["words"]) | Q(slug__icontains=given["words"])
        same = {
            name: given[name]
            for name in ("mode", "kind", "action", "direction")
            if given[name]
        }
        return Rule.objects.filter(words, **same).order_by("name", "pk")

    @property
    def is_narrow(self) -> bool:
        return any(self.data.get(name) for name in self.fields)
