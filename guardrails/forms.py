"""Forms of the rules in the admin."""

from typing import Any

import msgspec
from django import forms

from guardrails import rules
from guardrails.admission import admit
from guardrails.checks import check_rule
from guardrails.models import Rule
from guardrails.pii.types import TYPES


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
    types = _lines(f"Of personal data, one a line: {', '.join(TYPES)}.")
    regions = _lines("Whose numbers and ids, one a line, such as DE; none means all.")
    examples = _lines("Texts of the topic, one a line.")
    counter_examples = _lines("Texts that are near and not of it, one a line.")
    must_hit = _lines("Texts that this rule must hit, one a line.")
    must_pass = _lines("Texts that must pass, one a line.")

    priority = forms.IntegerField(required=False, initial=0)
    percent = forms.FloatField(
        required=False, initial=0, help_text="Of all traces, in which a canary acts."
    )
    on_timeout = forms.ChoiceField(
        required=False,
        choices=Rule.OnTimeout.choices,
        help_text="What happens to a text for which a pattern with look-around takes too long.",
    )

    class Meta:
        model = Rule
        fields = (
            "slug",
            "name",
            "direction",
            "kind",
            "action",
            "severity",
            "priority",
            "mode",
            "percent",
            "tiers",
            "workflows",
            "terms",
            "pattern",
            "on_timeout",
            "types",
            "regions",
            "expression",
            "field",
            "score",
            "limit",
            "examples",
            "counter_examples",
            "is_allow_list",
            "instruction",
            "team",
            "reply",
            "exceptions",
            "must_hit",
            "must_pass",
        )

    def clean_priority(self) -> int:
        return self.cleaned_data["priority"] or 0

    def clean_percent(self) -> float:
        return self.cleaned_data["percent"] or 0.0

    def clean_on_timeout(self) -> str:
        return self.cleaned_data["on_timeout"] or Rule.OnTimeout.HOLD

    def clean(self) -> dict[str, Any]:
        data = dict(super().clean() or {})
        if self.errors:
            return data
        fields = data | {"id": data["slug"]}
        del fields["slug"]
        try:
            problems = _problems(msgspec.convert(fields, rules.Rule))
        except msgspec.ValidationError as error:
            problems = [f"{error}."]
        for problem in problems:
            self.add_error(None, problem)
        return data


def _problems(rule: rules.Rule) -> list[str]:
    """What is wrong with it, and of a pattern also that it could keep a guard busy."""
    if rule.kind != "pattern":
        return check_rule(rule)
    return list(admit(rule, rules.RuleSet(())).problems)
