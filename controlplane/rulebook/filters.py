"""What the list of rules is narrowed by."""

from django import forms
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

    def lets(self, rule: Rule) -> bool:
        """Whether a rule is among those asked for; none is if the filter cannot be understood."""
        if not self.is_valid():
            return False
        given = self.cleaned_data
        is_named = given["words"].casefold() in f"{rule.name}\n{rule.slug}".casefold()
        return is_named and all(
            given[name] in {"", getattr(rule, name)}
            for name in ("mode", "kind", "action", "direction")
        )

    @property
    def is_narrow(self) -> bool:
        return any(self.data.get(name) for name in self.fields)
