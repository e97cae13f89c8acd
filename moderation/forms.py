"""The form with which a person decides on a held answer."""

from typing import Any

from django import forms
from django.http import QueryDict

from moderation.actions import safe_text_for
from moderation.models import Approval, Decision

REASONS = (
    "It promises what we cannot keep",
    "Its facts are wrong",
    "It is not for us to answer",
    "Its tone is not ours",
)
LABELS = {
    Decision.Verdict.APPROVE: "As drafted",
    Decision.Verdict.EDIT: "Edit",
    Decision.Verdict.REJECT: "Reject",
}


class DecisionForm(forms.Form):
    """Parses a decision; the rules about it are in actions. Its ids are the approval's own."""

    verdict = forms.ChoiceField(
        choices=list(LABELS.items()),
        widget=forms.RadioSelect,
        initial=Decision.Verdict.APPROVE,
    )
    fingerprint = forms.CharField(widget=forms.HiddenInput)
    team = forms.CharField(widget=forms.HiddenInput, required=False)
    text = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 5}),
        label="What the customer gets instead",
        required=False,
        strip=False,
    )
    preset = forms.TypedChoiceField(
        choices=list(enumerate(REASONS, start=1)),
        widget=forms.RadioSelect,
        label="Why not?",
        required=False,
        coerce=int,
    )
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2}), label="Reason", required=False
    )
    safe_text = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2}),
        label="What the customer gets: a safe text",
        required=False,
        strip=False,
    )
    override = forms.BooleanField(
        label="Send it although a rule would hold it; I have given the reason",
        required=False,
    )
    then_next = forms.BooleanField(
        label="then open the next", required=False, initial=True
    )

    def __init__(
        self,
        data: QueryDict | None = None,
        *,
        approval: Approval,
        team: str = "",
        then_next: bool = True,
    ) -> None:
        self.approval = approval
        self.default_safe_text = safe_text_for(approval)
        verdict = (
            Decision.Verdict.APPROVE if approval.has_draft else Decision.Verdict.EDIT
        )
        initial = {
            "verdict": verdict,
            "fingerprint": approval.fingerprint,
            "team": team,
            "text": approval.text,
            "safe_text": self.default_safe_text,
            "then_next": then_next,
        }
        super().__init__(
            data, initial=initial, auto_id=f"decide-{approval.pk}-%s", label_suffix=""
        )
        self.fields["text"].widget.attrs["data-draft"] = approval.text

    def decision(self) -> dict[str, Any]:
        """Return what actions.decide takes."""
        given = self.cleaned_data
        verdict = Decision.Verdict(given["verdict"])
        texts = {
            Decision.Verdict.APPROVE: "",
            Decision.Verdict.EDIT: given["text"],
            Decision.Verdict.REJECT: given["safe_text"],
        }
        return {
            "verdict": verdict,
            "text": texts[verdict],
            "reason": self._reason(verdict),
            "fingerprint": given["fingerprint"],
            "override": given["override"],
        }

    def _reason(self, verdict: Decision.Verdict) -> str:
        preset, reason = self.cleaned_data["preset"], self.cleaned_data["reason"]
        if verdict == Decision.Verdict.REJECT and preset:
            reason = ": ".join(filter(None, [REASONS[preset - 1], reason]))
        return str(reason)

    def refuse(self, field: str, problem: str) -> None:
        """Put what the action found wrong where the person can right it."""
        rejects = self.cleaned_data["verdict"] == Decision.Verdict.REJECT
        self.add_error("safe_text" if field == "text" and rejects else field, problem)

    def renew(self, fingerprint: str) -> None:
        """Let the same answer be given again, now that what is new has been shown."""
        assert isinstance(self.data, QueryDict)
        self.data = self.data.copy()
        self.data["fingerprint"] = fingerprint

    def typed(self) -> list[tuple[str, str]]:
        """Return what the person wrote, by the names of the fields, so that none of it is lost."""
        defaults = {
            "text": self.approval.text,
            "reason": "",
            "safe_text": self.default_safe_text,
        }
        return [
            (str(self.fields[name].label), text)
            for name, default in defaults.items()
            if (text := self.data.get(name, "").replace("\r\n", "\n"))
            not in {"", default}
        ]
