"""Forms of the rules in the admin."""

from typing import Any

import msgspec
from django import forms

from guardrails import rules
from guardrails.models import Rule


class LinesField(forms.CharField):
    """A list of texts, one a line."""

    widget = forms.Textarea(attrs={"rows": 5, "cols": 80})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]


def _lines(help_text: str) -> LinesField:
    return LinesField(required=False, help_text=help_text)


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """Says in sentences what is wrong with a rule, as publishing would."""

    tiers = _lines("One a line; none means all.")
    workflows = _lines("One a line.")
    terms = _lines("Words and phrases, one a line.")
    exceptions = _lines("Terms that excuse a hit of this rule where they cover it.")
    must_hit = _lines("Texts that this rule must hit, one a line.")
    must_pass = _lines("Texts that must pass, one a line.")

    class Meta:
        model = Rule
        fields = (
            "slug",
            "name",
            "direction",
            "kind",
            "action",
            "severity",
            "mode",
            "tiers",
            "workflows",
            "terms",
            "pattern",
            "field",
            "limit",
            "team",
            "reply",
            "exceptions",
            "must_hit",
            "must_pass",
        )

    def clean(self) -> dict[str, Any]:
        data = dict(super().clean() or {})
        if self.errors:
            return data
        fields = data | {"id": data["slug"]}
        del fields["slug"]
        try:
            problems = rules.check_rule(msgspec.convert(fields, rules.Rule))
        except msgspec.ValidationError as error:
            problems = [f"{error}."]
        for problem in problems:
            self.add_error(None, problem)
        return data
