"""What a person says who stops something, or lets it go."""

from typing import Any

from django import forms

from controlplane.stops import targets
from controlplane.stops.models import Stop
from controlplane.stops.ramp import MAX_PER_S, MIN_PER_S, RAMP_PER_S
from controlplane.stops.retention import MOST_DAYS

REASONS = (
    "It says what is not true",
    "Prices or terms are wrong",
    "Personal data may leak",
    "Somebody abuses it",
    "A change went wrong",
)
MAX_REASON = 1_000
CONVERSATION = Stop.Scope.CONVERSATION.value


def target_choices() -> list[tuple[str, Any]]:
    groups = [
        (
            scope.capitalize(),
            [
                (f"{scope}:{name}", f"{scope.capitalize()} {name}")
                for name in targets.names_of(scope)
            ],
        )
        for scope in ("workflow", "agent", "tier")
    ]
    one = (CONVERSATION, "One conversation (hard stop alone)")
    return [(Stop.Scope.EVERYTHING.value, "Everything"), *groups, one]


def target_of(text: str) -> tuple[str, str]:
    """Return the scope and the name in it."""
    scope, _, value = text.partition(":")
    return scope, value


class StopForm(forms.Form):
    mode = forms.ChoiceField(
        choices=Stop.Mode.choices,
        error_messages={"required": "Press one of the two buttons."},
    )
    target = forms.ChoiceField(
        choices=target_choices, label="What", initial="everything"
    )
    conversation = forms.CharField(
        label="Its id",
        required=False,
        max_length=targets.MAX_CONVERSATION,
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "c_…"}),
    )
    preset = forms.ChoiceField(
        choices=[("", "Other: say it below"), *((each, each) for each in REASONS)],
        label="Why",
        required=False,
        initial=REASONS[0],
    )
    words = forms.CharField(
        label="In your words (goes to the log, and to who decides meanwhile)",
        required=False,
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        parts = [given.get("preset", ""), given.get("words", "").strip()]
        given["reason"] = ": ".join(part for part in parts if part)
        if not given["reason"]:
            self.add_error("words", "Say why: choose a reason, or write one.")
        if "mode" in given and "target" in given:
            self._check_target(given)
        return given

    def _check_target(self, given: dict[str, Any]) -> None:
        scope, value = target_of(given["target"])
        if scope == CONVERSATION:
            value = given.get("conversation", "").strip()
        wrong = targets.refusal(mode=given["mode"], scope=scope, value=value)
        if wrong is not None:
            field = "conversation" if scope == CONVERSATION else "target"
            self.add_error(
                field,
                f"It {wrong[1]}."
                if wrong[0] == "value"
                else f"{wrong[1].capitalize()}.",
            )
        given["scope"], given["value"] = scope, value

    def stop(self) -> dict[str, str]:
        """Return what actions.engage_stop() wants to know of it."""
        return {
            name: self.cleaned_data[name]
            for name in ("mode", "scope", "value", "reason")
        }


class LiftForm(forms.Form):
    reason = forms.CharField(
        label="Why need nothing hold it back any more?",
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": "Say why."},
    )


class ReleaseForm(forms.Form):
    """ramp_per_s is for soft stops: a hard one keeps no agent waiting."""

    reason = forms.CharField(
        label="Why may it go on?",
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": "Say why it may go on."},
    )
    ramp_per_s = forms.FloatField(
        label="Each agent starts at most so many records a second",
        help_text="Until nothing waits for it. Empty: all at once.",
        required=False,
        initial=RAMP_PER_S,
        min_value=MIN_PER_S,
        max_value=MAX_PER_S,
        widget=forms.NumberInput(attrs={"step": "any"}),
    )


class ExtendForm(forms.Form):
    days = forms.IntegerField(min_value=1, max_value=MOST_DAYS)
