"""Objects as Go holds them: structs that are no pointers are never missing."""

from __future__ import annotations

from typing import Any

from ...shapes import Obj
from .types import Type

Value = Any  # what json.loads gives
ZEROS: dict[str, Value] = {"string": "", "int32": 0, "int64": 0, "float64": 0, "bool": False}


def filled(kind: Type, obj: Obj) -> Obj:
    """The object with an empty struct wherever Go would write one."""
    result: Obj = _filled(kind, obj)
    return result


def _filled(kind: Type, value: Value) -> Value:
    if isinstance(value, dict) and kind.kind in ("struct", "map"):
        result = {name: _filled(kind.field(name) or kind, item) for name, item in value.items()}
        for name in kind.structs:
            if result.get(name) is None:
                result[name] = _filled(kind.field(name) or kind, {})
        return result
    if isinstance(value, list) and kind.kind == "list" and value and isinstance(value[0], dict):
        return [_filled(kind.element(), item) for item in value]
    return value


def zero(kind: Type) -> Obj:
    """An object of this type before anything is set, as Go writes it."""
    result: Obj = {}
    for name in kind.fields():
        below = kind.field(name)
        if below is None or name not in kind.structs | kind.always:
            continue
        result[name] = zero(below) if name in kind.structs else ZEROS.get(below.scalar)
    return result


def without_nulls(kind: Type, value: Value) -> Value:
    """A value without nulls: Go's decoder leaves such fields and elements at their zero."""
    if isinstance(value, dict) and kind.kind in ("struct", "map"):
        return {name: without_nulls(kind.field(name) or kind, item) for name, item in value.items() if item is not None}
    if isinstance(value, list) and kind.kind == "list":
        empty = {} if kind.element().kind == "struct" else ZEROS.get(kind.element().scalar)
        return [empty if item is None else without_nulls(kind.element(), item) for item in value]
    return value
