"""Hypothesis strategies that make payloads of any contract."""

import types
from typing import Any, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from agents.events import Payload

INT64 = 2**63


def payloads(contract: type[Payload]) -> st.SearchStrategy[Payload]:
    strategy: st.SearchStrategy[Payload] = structs(contract)
    return strategy


def structs(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    fields = msgspec.structs.fields(kind)
    return st.builds(kind, **{field.name: values(field.type) for field in fields})


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Whatever JSON can carry: no infinities, integers of 64 bits."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return structs(kind)
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    return _compound(kind, get_origin(kind), get_args(kind))


_SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    float: st.floats(allow_nan=False, allow_infinity=False),
    int: st.integers(-INT64, INT64 - 1),
}


def _compound(
    kind: Any, origin: Any, arguments: tuple[Any, ...]
) -> st.SearchStrategy[Any]:
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        keys, held = map(values, arguments)
        return st.dictionaries(keys, held, max_size=3)
    if origin in {Union, types.UnionType}:
        return st.one_of(*map(values, arguments))
    return st.from_type(kind)
