"""What a person filters mails by, chooses and says."""

from typing import Any

from django import forms
from django.db.models import Q
from django.http import QueryDict

from controlplane.effects.models import Effect, EffectQuerySet
from controlplane.effects.states import LEADS_TO, NEEDS_PERSON

REASON_MAX_CHARS = 1_000
MAX_ID = 2**63 - 1
AT_ONCE = 200  # mails of one decision: each is shown before
OPEN, ALL = "open", "all"
VERBS = {"send": "Send", "sent": "It was sent", "drop": "Drop"}


class FilterForm(forms.Form):
    """Of an empty one: what needs a person."""

    state = forms.ChoiceField(
        choices=[
            (OPEN, "Needs a person"),
            *Effect.State.choices,
            (ALL, "All"),
        ],
        required=False,
        widget=forms.HiddenInput,
    )
    words = forms.CharField(
        required=False,
        max_length=200,
        label="Recipient or subject holds",
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    agent = forms.ChoiceField(required=False, label="Asked for by")
    stop = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data, auto_id="filter-%s", label_suffix="")
        self.fields["agent"].choices = self._agents()  # type: ignore[attr-defined]

    def _agents(self) -> list[tuple[str, str]]:
        found = Effect.objects.order_by().values_list("agent", flat=True).distinct()
        known = {*found, self.data.get("agent", "")} - {""}
        return [("", "Any"), *((each, each) for each in sorted(known))]

    @property
    def state_asked(self) -> str:
        return (self.cleaned_data.get("state") if self.is_valid() else "") or OPEN

    def effects(self) -> EffectQuerySet:
        """Return those of the state that match; none if the filter cannot be understood."""
        matching = self.in_any_state()
        if self.state_asked == ALL:
            return matching
        states = NEEDS_PERSON if self.state_asked == OPEN else [self.state_asked]
        return matching.filter(state__in=states)

    def in_any_state(self) -> EffectQuerySet:
        if not self.is_valid():
            return Effect.objects.none()
        given = self.cleaned_data
        wanted: dict[str, Any] = {"agent": given["agent"], "stop": given["stop"]}
        found = Effect.objects.filter(**{k: v for k, v in wanted.items() if v})
        words = given["words"]
        has_words = Q(recipient__icontains=words) | Q(subject__icontains=words)
        return found.filter(has_words) if words else found

    @property
    def is_narrow(self) -> bool:
        return any(self.data.get(name) for name in ("words", "agent", "stop"))


class PageForm(forms.Form):
    """Where a page of the list begins."""

    before = forms.IntegerField(required=False, min_value=1, max_value=MAX_ID)


class ChosenForm(forms.Form):
    """Which mails to decide on: those that were chosen, or as many as one decision takes."""

    scope = forms.ChoiceField(
        choices=[("chosen", "the chosen"), ("matching", "all that match")],
        required=False,
    )
    effects = forms.TypedMultipleChoiceField(coerce=int, required=False)

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data, label_suffix="")
        chosen = data.getlist("effects") if data else []
        self.fields["effects"].choices = [  # type: ignore[attr-defined]
            (key, key) for key in chosen if _is_id(key)
        ]

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given.get("scope") != "matching" and not given.get("effects"):
            self.add_error("effects", "Choose mails first, or take all that match.")
        if len(given.get("effects") or []) > AT_ONCE:
            self.add_error("effects", f"Choose {AT_ONCE} mails at most.")
        return given

    def chosen_from(self, matching: EffectQuerySet) -> EffectQuerySet:
        """Return them, the oldest first, if they need a person."""
        given = self.cleaned_data
        if given["scope"] != "matching":
            matching = Effect.objects.filter(pk__in=given["effects"])
        return matching.order_by("pk")


class DecisionForm(ChosenForm):
    """What to do with mails, and why. The rules about it are in states and actions."""

    verb = forms.ChoiceField(
        choices=[(verb, VERBS[verb]) for verb in LEADS_TO],
        error_messages={"required": "Press what is to be done."},
    )
    reason = forms.CharField(
        max_length=REASON_MAX_CHARS,
        label="Reason (goes to the log)",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Say why."},
    )


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text) <= MAX_ID
