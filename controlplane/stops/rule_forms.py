"""What a person changes about a rule of automatic stops."""

import math
from typing import Any

from django import forms
from django.http import QueryDict

from controlplane.stops import tripping
from controlplane.stops.forms import CONVERSATION, MAX_REASON, target_choices, target_of
from controlplane.stops.models import StopRule

MAX_ITEMS = 1_000
MAX_SECONDS = 86_400
MAX_THRESHOLD = 1_000_000_000


def _targets() -> list[tuple[str, Any]]:
    return [choice for choice in target_choices() if choice[0] != CONVERSATION]


class RuleForm(forms.Form):
    is_on = forms.BooleanField(label="On: it stops by itself", required=False)
    target = forms.ChoiceField(choices=_targets, label="What it stops, and counts")
    threshold = forms.FloatField(max_value=MAX_THRESHOLD)
    window = forms.IntegerField(min_value=1)
    minimum = forms.IntegerField(min_value=1, label="Trips from so many on")
    reason = forms.CharField(
        label="Why the change?",
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": "Say why it is to change."},
    )

    def __init__(self, rule: StopRule, data: QueryDict | None = None) -> None:
        super().__init__(data, auto_id="rule-%s", initial=_initial(rule))
        self._metric = rule.metric
        self._is_share = tripping.METRICS[rule.metric].kind == "share"
        self._word_labels()

    def _word_labels(self) -> None:
        metric = tripping.METRICS[self._metric]
        self.fields["threshold"].label = f"Trips above ({metric.unit})"
        self.fields["window"].label = {
            "share": f"Of the last so many {metric.of}",
            "rate": "Over so many seconds",
            "level": "For so many seconds",
        }[metric.kind]
        if not self._is_share:
            del self.fields["minimum"]

    def clean_threshold(self) -> float:
        threshold = float(self.cleaned_data["threshold"])
        if not math.isfinite(threshold) or threshold <= 0:
            raise forms.ValidationError("It must be above 0.")
        if self._is_share and threshold >= 100:  # noqa: PLR2004
            raise forms.ValidationError("No share is above 100 %: it would never trip.")
        return threshold

    def clean_window(self) -> int:
        window = int(self.cleaned_data["window"])
        most = MAX_ITEMS if self._is_share else MAX_SECONDS
        if window > most:
            raise forms.ValidationError(f"It may be up to {most:,}.")
        return window

    def clean_target(self) -> str:
        target = str(self.cleaned_data["target"])
        wrong = tripping.refusal(self._metric, *target_of(target))
        if wrong:
            raise forms.ValidationError(wrong)
        return target

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given.get("minimum", 1) > given.get("window", MAX_SECONDS):
            self.add_error(
                "minimum", "It cannot be more than the window: it would never trip."
            )
        return given

    def changes(self) -> dict[str, Any]:
        """Return what actions of automatic stops want to know of it."""
        given = self.cleaned_data
        scope, value = target_of(given["target"])
        names = self.fields.keys() - {"target", "reason"}
        return {"scope": scope, "value": value} | {name: given[name] for name in names}


def _initial(rule: StopRule) -> dict[str, Any]:
    return {
        "is_on": rule.is_on,
        "target": f"{rule.scope}:{rule.value}" if rule.value else rule.scope,
        "threshold": f"{rule.threshold:g}",
        "window": rule.window,
        "minimum": rule.minimum,
    }
