"""How two versions of a rule, or two sets of rules, differ."""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from controlplane.visible import visible
from guardrails.rules import Rule
from moderation import marks

LABELS = {
    "name": "Name",
    "direction": "Reads",
    "kind": "Kind",
    "mode": "Mode",
    "percent": "Percent of traces",
    "terms": "Terms",
    "pattern": "Pattern",
    "on_timeout": "When it takes too long",
    "types": "Types of personal data",
    "regions": "Regions",
    "expression": "Expression",
    "field": "Field",
    "score": "Score",
    "examples": "Examples",
    "counter_examples": "Near, and not of it",
    "is_allow_list": "It hits what",
    "instruction": "What the judge is asked",
    "limit": "Limit",
    "action": "Then",
    "team": "Team",
    "reply": "Text for the user",
    "severity": "Severity",
    "priority": "Priority",
    "tiers": "Tiers",
    "workflows": "Workflows",
    "exceptions": "Exceptions",
    "must_hit": "Must hit",
    "must_pass": "Must pass",
}
_UNSHOWN = {"id", "version"}


class FieldChange(msgspec.Struct, frozen=True, kw_only=True):
    field: str
    label: str
    html: SafeString  # with what was taken out and put in


class RuleChange(msgspec.Struct, frozen=True, kw_only=True):
    """fields: of a rule that is new or gone, what it says."""

    id: str
    name: str
    change: Literal["new", "changed", "removed"]
    version: int
    fields: list[FieldChange]

    @property
    def colour(self) -> str:
        return {"new": "go", "changed": "soft", "removed": "stop"}[self.change]


def label_of(field: str) -> str:
    return LABELS.get(field, field.replace("_", " ").capitalize())


def differing(old: Rule, new: Rule) -> list[str]:
    """Name the fields that differ, in the order in which they are shown."""
    shown = [name for name in LABELS if name in Rule.__struct_fields__]
    others = [
        name for name in Rule.__struct_fields__ if name not in {*shown, *_UNSHOWN}
    ]
    return [n for n in (*shown, *others) if getattr(old, n) != getattr(new, n)]


def field_changes(old: Rule, new: Rule) -> list[FieldChange]:
    return [
        FieldChange(
            field=name,
            label=label_of(name),
            html=difference(getattr(old, name), getattr(new, name)),
        )
        for name in differing(old, new)
    ]


def set_changes(old: Mapping[str, Rule], new: Mapping[str, Rule]) -> list[RuleChange]:
    """By id: rules that are new first, then changed, then gone."""
    return [
        *(_whole(new[key], "new") for key in sorted(new.keys() - old.keys())),
        *_changed(old, new),
        *(_whole(old[key], "removed") for key in sorted(old.keys() - new.keys())),
    ]


def _changed(old: Mapping[str, Rule], new: Mapping[str, Rule]) -> Iterator[RuleChange]:
    for key in sorted(old.keys() & new.keys()):
        fields = field_changes(old[key], new[key])
        if fields or old[key] != new[key]:
            yield RuleChange(
                id=key,
                name=new[key].name,
                change="changed",
                version=new[key].version,
                fields=fields,
            )


def _whole(rule: Rule, change: Literal["new", "removed"]) -> RuleChange:
    """Only what differs from the defaults of a rule."""
    bare = Rule(id=rule.id, name="", direction="input", kind="terms", action="allow")
    always = ("name", "direction", "kind", "action", "mode")
    names = dict.fromkeys([*always, *differing(bare, rule)])
    fields = [
        FieldChange(field=name, label=label_of(name), html=shown(getattr(rule, name)))
        for name in names
    ]
    return RuleChange(
        id=rule.id,
        name=rule.name,
        change=change,
        version=rule.version,
        fields=fields,
    )


def shown(value: object) -> SafeString:
    """One value, as a person reads it."""
    if isinstance(value, tuple):
        return _items((None, str(item)) for item in value) if value else _nothing()
    return visible(_text(value)) if _text(value) else _nothing()


def _nothing() -> SafeString:
    return format_html('<span class="meta">{}</span>', "nothing")


def difference(old: object, new: object) -> SafeString:
    if not isinstance(old, tuple) or not isinstance(new, tuple):
        return marks.changes(_text(old), _text(new))
    if set(old) == set(new):
        return visible("the same in another order")
    gone = (("del", str(item)) for item in old if item not in set(new))
    come = (("ins", str(item)) for item in new if item not in set(old))
    return _items([*gone, *come])


def _items(
    items: "Iterator[tuple[str | None, str]] | list[tuple[str, str]]",
) -> SafeString:
    return format_html(
        '<ul class="items">{}</ul>',
        format_html_join("", "<li>{}</li>", ((_item(*item),) for item in items)),
    )


def _item(tag: str | None, text: str) -> SafeString:
    if tag is None:
        return visible(text)
    return format_html("<{0}>{1}</{0}>", tag, visible(text))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)
