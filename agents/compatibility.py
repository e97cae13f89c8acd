"""What a change of a contract would break for those who read records, or have kept some.

Records outlive a release by their topic's retention, and a release does not reach all readers
at once. So a contract must hold both ways: yesterday's readers decode today's records, today's
readers decode yesterday's. They decode strictly: what is required must be there, every value
must be of its type and its enum; unknown fields are ignored unless the contract is closed.
  - Wider (another type or value, no longer required) breaks yesterday's readers.
  - Narrower (a type or value less, newly required) breaks today's on yesterday's records.
  - A removed field gives yesterday's readers nothing, or an error.
  - Another default changes, unseen, what yesterday's records say.
What remains is to add fields that have a default, and to write better descriptions.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = dict[str, Any]

# Says nothing about which values are valid, or is said elsewhere.
_NOTES = {
    *("$schema", "$id", "$defs", "$ref", "$comment", "title", "description"),
    *("examples", "deprecated", "default", "discriminator"),
}
_WALKED = {
    *("type", "enum", "const", "properties", "required", "items", "prefixItems"),
    *("additionalProperties", "anyOf", "oneOf"),
}
_FIXED = "one of fixed values"
_FREEDOM = {"True": "anything", "False": "nothing"}


def breaking_changes(
    old: Schema, new: Schema, *, name: str = "the contract"
) -> list[str]:
    """Return a sentence for each change that a reader of old or of new could not bear."""
    return list(dict.fromkeys(_Comparison(old, new).compare(old, new, name)))


def breaking_releases(
    old: Mapping[str, Schema], new: Mapping[str, Schema]
) -> list[str]:
    """Compare all contracts, by name. A new one breaks nobody."""
    found = [f"{name}: the contract was removed." for name in old if name not in new]
    for name in old.keys() & new.keys():
        found += breaking_changes(old[name], new[name], name=name)
    return sorted(found)


def breaking_topics(old: Schema, new: Schema) -> list[str]:
    """Compare the channels of two AsyncAPI documents. A new one breaks nobody."""
    return [
        f"{name}: {what}"
        for name, before in old["channels"].items()
        for what in _channel(before, new["channels"].get(name))
    ]


def _channel(old: Schema, new: Schema | None) -> Iterator[str]:
    if new is None:
        yield "the topic was removed."
        return
    if old["messages"].keys() != new["messages"].keys():
        yield "the topic carries another contract."
    before, after = (side["bindings"]["kafka"]["partitions"] for side in (old, new))
    if before != after:
        yield f"{after} partitions instead of {before} break the order of its keys."


class _Comparison:
    """Walks two schemas side by side, through their references."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old.get("$defs", {})
        self._new = new.get("$defs", {})
        self._seen: set[tuple[str, str]] = set()

    def compare(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        pair = (old.get("$ref", ""), new.get("$ref", ""))
        if any(pair):
            if pair in self._seen:
                return
            self._seen.add(pair)
        before, after = _branches(old, self._old), _branches(new, self._new)
        for kind in sorted(before.keys() - after.keys()):
            yield f"{path} can no longer be {kind}, which records that are kept are."
        for kind in sorted(after.keys() - before.keys()):
            yield f"{path} can now be {kind}, which the readers of before refuse."
        for kind in sorted(before.keys() & after.keys()):
            yield from self._branch(before[kind], after[kind], path)

    def _branch(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        yield from _values(old, new, path)
        yield from _keywords(old, new, path)
        yield from self._fields(old, new, path)
        yield from self._places(old, new, path)
        yield from self._rest("items", old, new, f"{path}[]")
        yield from self._rest("additionalProperties", old, new, f"{path}.*")

    def _fields(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for field in sorted(before.keys() - after.keys()):
            yield f"{path}.{field} was removed; the readers of before miss it."
        for field in sorted(after.keys() - before.keys()):
            yield from _added(old, new, field, path)
        for field in sorted(before.keys() & after.keys()):
            yield from _required(old, new, field, path)
            yield from _default(before[field], after[field], f"{path}.{field}")
            yield from self.compare(before[field], after[field], f"{path}.{field}")

    def _places(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        before, after = old.get("prefixItems", []), new.get("prefixItems", [])
        if len(before) != len(after):
            yield f"{path} has {len(after)} fixed places instead of {len(before)}."
        for number, (was, now) in enumerate(zip(before, after, strict=False)):
            yield from self.compare(was, now, f"{path}[{number}]")

    def _rest(self, keyword: str, old: Schema, new: Schema, path: str) -> Iterator[str]:
        """What a list's places or a map's keys hold, where they are not named."""
        before, after = old.get(keyword, True), new.get(keyword, True)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from self.compare(before, after, path)
        elif before != after:
            was, now = (_FREEDOM.get(str(side), "one type") for side in (before, after))
            yield f"{path} may hold {now} instead of {was}."


def _branches(schema: Schema, definitions: Schema) -> dict[str, Schema]:
    """Return the alternatives that a schema allows, by what kind of value each is."""
    schema = _resolve(schema, definitions)
    options = schema.get("anyOf") or schema.get("oneOf")
    if options is None:
        return dict.fromkeys(_kinds(schema), schema)
    resolved = [_resolve(option, definitions) for option in options]
    objects = [option for option in resolved if option.get("type") == "object"]
    found: dict[str, Schema] = {}
    for option in resolved:
        if option in objects and len(objects) > 1:
            found[f"the object {option.get('title')}"] = option
        else:
            found |= _branches(option, definitions)
    return found


def _kinds(schema: Schema) -> list[str]:
    if "enum" in schema or "const" in schema:
        return [_FIXED]
    types = schema.get("type", "anything")
    return types if isinstance(types, list) else [types]


def _resolve(schema: Schema, definitions: Schema) -> Schema:
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    return schema


def _values(old: Schema, new: Schema, path: str) -> Iterator[str]:
    before, after = (
        side.get("enum", [side["const"]] if "const" in side else [])
        for side in (old, new)
    )
    for value in before:
        if value not in after:
            yield f"{path} loses the value {value!r}, which records that are kept hold."
    for value in after:
        if value not in before:
            yield f"{path} gains the value {value!r}, which the readers of before refuse."


def _keywords(old: Schema, new: Schema, path: str) -> Iterator[str]:
    """Bounds, patterns, and whatever is not known here."""
    for keyword in sorted((old.keys() | new.keys()) - _NOTES - _WALKED):
        before, after = old.get(keyword, "none"), new.get(keyword, "none")
        if before != after:
            yield f"{path} has {keyword} {after} instead of {before}."


def _added(old: Schema, new: Schema, field: str, path: str) -> Iterator[str]:
    if field in new.get("required", []):
        yield f"{path}.{field} was added and is required, which records that are kept lack."
    if old.get("additionalProperties") is False:
        yield f"{path}.{field} was added, which the readers of a closed contract refuse."


def _required(old: Schema, new: Schema, field: str, path: str) -> Iterator[str]:
    before, after = (field in side.get("required", []) for side in (old, new))
    if after and not before:
        yield f"{path}.{field} is now required, which records that are kept may lack."
    if before and not after:
        yield f"{path}.{field} is no longer required, but the readers of before require it."


def _default(old: Schema, new: Schema, path: str) -> Iterator[str]:
    if "default" in old and "default" in new and old["default"] != new["default"]:
        yield (
            f"{path} has the default {new['default']!r} instead of {old['default']!r}, "
            "so that records without it would say something else."
        )
