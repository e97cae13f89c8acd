"""One form for each kind of rule: what is wrong stands at its field, as publishing would say it."""

import re
from typing import Any

import msgspec
from django import forms
from django.http import QueryDict
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from agents.registry import AGENTS
from agents.topics import TIERS
from controlplane.rulebook.diffs import label_of
from guardrails import rules
from guardrails.checks import Problem, check_rule
from guardrails.models import Rule
from guardrails.pii.types import TYPES
from guardrails.rules import TEAMS

# What each kind is for, and the fields that only it has.
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "terms": ("Words and phrases, in every spelling and script.", ("terms",)),
    "pattern": ("A regular expression.", ("pattern", "on_timeout")),
    "pii": (
        "Personal data: cards, IBANs, phones and others, checked by their digits.",
        ("types", "regions"),
    ),
    "expression": (
        "A condition in CEL over amounts, discounts, links, language, tier and scores.",
        ("expression", "limit"),
    ),
    "threshold": ("One field above a limit.", ("field", "limit")),
    "score": (
        "A classifier's score above a limit, such as toxicity.",
        ("score", "limit"),
    ),
    "topic": (
        "What is like examples in its meaning.",
        ("examples", "counter_examples", "is_allow_list", "limit"),
    ),
    "judge": (
        "A model is asked, and advises: it can hold, never pass.",
        ("instruction", "limit"),
    ),
}
_COMMON = (
    "name",
    "direction",
    "mode",
    "percent",
    "action",
    "team",
    "reply",
    "severity",
    "priority",
    "tiers",
    "workflows",
    "exceptions",
    "must_hit",
    "must_pass",
)
_LIMITS = {
    "expression": "What limit is in the expression.",
    "threshold": "More than this hits.",
    "score": "A score above this hits.",
    "topic": "A likeness above this hits; with an allow-list, one below.",
    "judge": "A judge's certainty above this hits.",
}
_WORKFLOWS = sorted({workflow for workflow, _ in AGENTS.values()} - {"platform"})
EMPTY = 2  # fields for more texts
_PLACE = re.compile(r"(?:line (\d+), )?column (\d+)")


class LinesField(forms.CharField):
    """A list of texts, one a line."""

    def __init__(self, rows: int, help_text: str = "") -> None:
        area = forms.Textarea(attrs={"rows": rows})
        super().__init__(required=False, widget=area, help_text=help_text)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]


class TextsInput(forms.Textarea):
    """A field for each text, since texts may have several lines, and some for more."""

    use_fieldset = True
    are_texts = True

    def render(
        self, name: str, value: Any, attrs: Any = None, renderer: Any = None
    ) -> SafeString:
        fields = []
        for number, text in enumerate(value, 1):
            said = {
                "id": f"{(attrs or {}).get('id', name)}_{number}",
                "rows": str(text).count("\n") + 1,
                "aria-label": f"{self.attrs.get('aria-label', name)}, text {number}",
            }
            fields.append(super().render(name, text, (attrs or {}) | said, renderer))
        return format_html_join("", "{}", ((field,) for field in fields))

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str]:
        del files
        return [str(each) for each in data.getlist(name)]


class TextsField(forms.Field):
    """Whole texts. Empty ones count for nothing."""

    def __init__(self, label: str, help_text: str = "") -> None:
        widget = TextsInput(attrs={"aria-label": label})
        super().__init__(required=False, widget=widget, help_text=help_text)

    def prepare_value(self, value: Any) -> list[str]:
        return [*(text for text in value or () if text.strip()), *[""] * EMPTY]

    def to_python(self, value: Any) -> list[str]:
        texts = (str(each).replace("\r\n", "\n").strip() for each in value or ())
        return [text for text in texts if text]


def _area(rows: int, css: str = "", help_text: str = "") -> forms.CharField:
    attrs = {"rows": rows, "spellcheck": "false" if css else "true"}
    area = forms.Textarea(attrs=attrs | ({"class": css} if css else {}))
    return forms.CharField(
        required=False, widget=area, help_text=help_text, strip=False
    )


def _several(help_text: str = "") -> forms.MultipleChoiceField:
    boxes = forms.CheckboxSelectMultiple
    return forms.MultipleChoiceField(required=False, widget=boxes, help_text=help_text)


def _make_fields() -> dict[str, forms.Field]:
    return {
        "name": forms.CharField(max_length=200, required=False),
        "direction": forms.ChoiceField(
            choices=[("input", "what users write"), ("output", "what agents answer")]
        ),
        "mode": forms.ChoiceField(choices=Rule.Mode.choices, widget=forms.RadioSelect),
        "percent": forms.FloatField(required=False, help_text="in which a canary acts"),
        "terms": LinesField(8, "One a line."),
        "pattern": _area(4, "mono"),
        "on_timeout": forms.ChoiceField(
            choices=Rule.OnTimeout.choices,
            help_text="Of a pattern with look-around, which hyperscan cannot run.",
        ),
        "types": _several(),
        "regions": LinesField(
            2, "Whose phones and ids, one a line, such as DE; none means all."
        ),
        "expression": _area(
            4,
            "mono",
            "In CEL, such as discount_percent > limit && tier != 'enterprise'.",
        ),
        "field": forms.ChoiceField(
            choices=[("discount_percent", "discount_percent")], required=False
        ),
        "score": forms.CharField(
            required=False, help_text="Its name, such as toxicity."
        ),
        "limit": forms.FloatField(required=False),
        "examples": LinesField(6, "One a line."),
        "counter_examples": LinesField(4, "One a line."),
        "is_allow_list": forms.TypedChoiceField(
            choices=[(False, "is like an example"), (True, "is like none of them")],
            coerce=lambda value: value == "True",
            widget=forms.RadioSelect,
        ),
        "instruction": _area(4),
        "action": forms.ChoiceField(choices=Rule.Action.choices),
        "team": forms.ChoiceField(
            choices=[("", "Choose a team"), *((t, t) for t in TEAMS)], required=False
        ),
        "reply": _area(2, help_text="What the user gets instead."),
        "severity": forms.ChoiceField(choices=Rule.Severity.choices),
        "priority": forms.IntegerField(
            required=False, help_text="Of two rules alike, the higher one wins."
        ),
        "tiers": _several("none means all"),
        "workflows": _several(),
        "exceptions": LinesField(
            3, "Words that excuse a hit of this rule where they cover it, one a line."
        ),
        "must_hit": TextsField("Must hit", "what this rule must hit"),
        "must_pass": TextsField("Must pass", "what must be let through"),
    }


class RuleForm(forms.Form):
    """seen: the version that its editor began with, 0 for a new rule."""

    slug = forms.SlugField(
        label="Id", max_length=50, help_text="It stays: verdicts name the rule by it."
    )
    kind = forms.ChoiceField(choices=Rule.Kind.choices, widget=forms.HiddenInput)
    seen = forms.IntegerField(min_value=0, widget=forms.HiddenInput)

    def __init__(
        self,
        kind: str,
        data: QueryDict | None = None,
        *,
        rule: rules.Rule | None = None,
    ) -> None:
        """rule: what it is filled with at first, and what keeps the fields that the form has not."""
        initial = _initial(rule, kind)
        super().__init__(data, auto_id="rule-%s", label_suffix="", initial=initial)
        self.kind_name = kind
        self.rule: rules.Rule | None = None
        self._base = rule
        made, own = _make_fields(), KINDS[kind][1]
        for name in (*_COMMON[:4], *own, *_COMMON[4:]):
            self.fields[name] = made[name]
            self.fields[name].label = label_of(name)
        if "limit" in self.fields:
            self.fields["limit"].help_text = _LIMITS[kind]
        self._offer("tiers", TIERS)
        self._offer("workflows", _WORKFLOWS)
        self._offer("types", TYPES)
        if initial["seen"]:
            self.fields["slug"].widget = forms.HiddenInput()

    def _offer(self, name: str, known: Any) -> None:
        """What there is, and what the rule has already."""
        if name in self.fields:
            values = dict.fromkeys([*known, *(getattr(self._base, name, None) or ())])
            self.fields[name].choices = [(each, each) for each in values]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = dict(self.cleaned_data)
        if self.errors:
            return given
        kept = msgspec.to_builtins(self._base) if self._base else {}
        own = self._base.id if self._base else given["slug"]
        fields = kept | given | {"id": own, "version": max(1, given["seen"])}
        for name in ("slug", "seen"):
            del fields[name]
        fields["percent"] = fields["percent"] or 0.0
        fields["priority"] = fields["priority"] or 0
        for name in ("pattern", "expression"):
            if name in fields:
                fields[name] = _source(fields[name])
        try:
            self.rule = msgspec.convert(fields, rules.Rule)
        except msgspec.ValidationError as error:
            self.add_error(None, f"{error}.")
        else:
            self.refuse(check_rule(self.rule))
        return given

    def refuse(self, problems: "list[Problem] | tuple[str, ...]") -> None:
        """Say each at its field; what belongs to none of this form, above them."""
        for problem in problems:
            name = getattr(problem, "field", self._main)
            name = "slug" if name == "id" else name
            self.add_error(name if name in self.fields else None, str(problem))

    @property
    def _main(self) -> str:
        return KINDS[self.kind_name][1][0]

    @property
    def where_wrong(self) -> tuple[str, str, str] | None:
        """The text before the column that an error names, the character there, and what follows."""
        said = " ".join(str(each) for each in self.errors.get(self._main, []))
        found = _PLACE.search(said)
        if found is None or self._main not in {"pattern", "expression"}:
            return None
        text = _source(str(self.data.get(self._main, "")))
        lines = text.split("\n")
        line, column = int(found[1] or 1), int(found[2])
        at = sum(len(each) + 1 for each in lines[: line - 1]) + column - 1
        return text[:at], text[at : at + 1] or "⏎", text[at + 1 :]


def _source(text: str) -> str:
    """Without lines around it that are empty; browsers send line breaks as two characters."""
    return text.replace("\r\n", "\n").strip("\n")


def _initial(rule: rules.Rule | None, kind: str) -> dict[str, Any]:
    if rule is None:
        return {
            "kind": kind,
            "seen": 0,
            "direction": "output",
            "mode": "draft",
            "action": "escalate",
            "severity": "medium",
            "workflows": ["chat"],
            "on_timeout": "hold",
            "is_allow_list": False,
        }
    given: dict[str, Any] = msgspec.to_builtins(rule)
    numbers = {
        name: repr(value).removesuffix(".0")
        for name, value in given.items()
        if isinstance(value, float)
    }
    return given | numbers | {"slug": rule.id, "seen": rule.version}
