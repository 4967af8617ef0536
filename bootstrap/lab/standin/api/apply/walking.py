"""Which fields a value has, what differs between two values, and what is wrong with the types of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..types.types import Type
from .paths import Path, Paths, element_of, shown_element

Value = Any  # what json.loads gives
MISSING: Value = object()
"""No value at all; None is Kubernetes' null."""
EMPTY: tuple[Value, ...] = (None, {}, [])


def is_leaf(kind: Type, *values: Value) -> bool:
    """Whether a value has one owner: a scalar, or a list or map that is atomic."""
    if kind.kind in ("scalar",) or kind.atomic:
        return True
    given = [value for value in values if value is not MISSING]
    if kind.kind == "any":
        return any(not isinstance(value, dict) and value is not None for value in given)
    return any(not isinstance(value, list if kind.kind == "list" else dict) and value is not None for value in given)


def owned(kind: Type, value: Value) -> Paths:
    """The fields of a configuration that is applied."""
    found: set[Path] = set()
    _own(kind, value, (), found)
    return frozenset(found)


def _own(kind: Type, value: Value, path: Path, found: set[Path]) -> None:
    if is_leaf(kind, value):
        found.add(path)
    elif isinstance(value, list):
        elements = [element_of(kind, item) for item in value]
        times = Counter(elements)
        for element, item in zip(elements, value, strict=True):
            if times[element] == 1:
                _own(kind.element(), item, (*path, element), found)
            found.add((*path, element))
    elif isinstance(value, dict):
        for name, item in value.items():
            below = (*path, f"f:{name}")
            _own(kind.field(name) or kind, item, below, found)
            if item in (None, {}) or not kind.has(name):
                found.add(below)


class Difference:
    """What differs between two values of one type."""

    def __init__(self, kind: Type, old: Value, new: Value) -> None:
        self.removed: set[Path] = set()
        self.modified: set[Path] = set()
        self.added: set[Path] = set()
        self._compare(kind, old, new, ())

    def _compare(self, kind: Type, old: Value, new: Value, path: Path) -> None:
        if old is not MISSING and old is not None and old == new:
            return
        if is_leaf(kind, old, new) or all(value is MISSING or value in EMPTY for value in (old, new)):
            self._leaf(old, new, path)
            return
        if kind.kind == "list":
            self._items(kind, old, new, path)
        else:
            before, after = _fields_of(old), _fields_of(new)
            for name in {**before, **after}:
                below = kind.field(name)
                if below is not None:
                    self._compare(below, before.get(name, MISSING), after.get(name, MISSING), (*path, f"f:{name}"))
        if old is MISSING:
            self.added.add(path)
        elif new is MISSING:
            self.removed.add(path)

    def _leaf(self, old: Value, new: Value, path: Path) -> None:
        if old is MISSING:
            self.added.add(path)
        elif new is MISSING:
            self.removed.add(path)
        elif old != new:
            self.modified.add(path)

    def _items(self, kind: Type, old: Value, new: Value, path: Path) -> None:
        before, after = _by_element(kind, old), _by_element(kind, new)
        for element in {**before, **after}:
            one, other, below = before.get(element, []), after.get(element, []), (*path, element)
            if len(one) <= 1 and len(other) <= 1:
                first, last = (each[0] if each else MISSING for each in (one, other))
                self._compare(kind.element(), first, last, below)
            elif len(one) > 1 and len(other) > 1:
                if one != other:
                    self.modified.add(below)
            else:  # duplicates appear or go
                first, last = (each[0] if len(each) == 1 else MISSING for each in (one, other))
                if first is not MISSING or last is not MISSING:
                    self._compare(kind.element(), first, last, below)
                (self.added if len(other) > 1 else self.removed).add(below)


def _fields_of(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}


def _by_element(kind: Type, items: Value) -> dict[str, list[Value]]:
    found: dict[str, list[Value]] = {}
    for item in items if isinstance(items, list) else ():
        found.setdefault(element_of(kind, item), []).append(item)
    return found


def type_problems(kind: Type, value: Value) -> list[str]:
    """What is wrong with the types of a configuration, in structured-merge-diff's words."""
    return [f"{path}: {text}" if path else text for path, text in _problems(kind, value, "")]


def _problems(kind: Type, value: Value, path: str) -> Iterable[tuple[str, str]]:
    if value is None or kind.kind == "any":
        return
    if kind.kind == "scalar":
        text = _scalar_problem(kind.scalar, value)
        if text:
            yield path, text
    elif kind.kind == "list":
        yield from _list_problems(kind, value, path)
    elif not isinstance(value, dict):
        yield path, f"expected map, got {_shown(value)}"
    else:
        for name, item in value.items():
            below = kind.field(name)
            if below is None:
                yield f"{path}.{name}", "field not declared in schema"
            else:
                yield from _problems(below, item, f"{path}.{name}")


def _list_problems(kind: Type, value: Value, path: str) -> Iterable[tuple[str, str]]:
    if not isinstance(value, list):
        yield path, f"expected list, got {_shown(value)}"
        return
    seen: set[str] = set()
    for at, item in enumerate(value):
        element = f"[{at}]"
        if not kind.atomic:
            try:
                plain = element_of(kind, item)
            except ValueError as error:
                yield path, f"element {at}: {error}"
                return
            element = shown_element(plain)
            if plain in seen:
                yield path, f"duplicate entries for key {element}"
            seen.add(plain)
        yield from _problems(kind.element(), item, path + element)


GO_TYPES = ((bool, "bool"), (str, "string"), (int, "int64"), (float, "float64"), (list, "[]interface {}"),
            (dict, "map[string]interface {}"))  # fmt: skip


def go_type(value: Value) -> str:
    return next((name for kind, name in GO_TYPES if isinstance(value, kind)), "<nil>")


def _scalar_problem(scalar: str, value: Value) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match scalar:
        case "int32" | "int64" | "float64":
            return "" if number else f"expected numeric (int or float), got {go_type(value)}"
        case "string" | "bytes":
            return (
                "" if isinstance(value, str) else f"expected string, got &value.valueUnstructured{{Value:{_go(value)}}}"
            )
        case "bool":
            return "" if isinstance(value, bool) else f"expected boolean, got {_shown(value)}"
        case _:
            return f"expected any scalar, got {_shown(value)}" if isinstance(value, list | dict) else ""


def _go(value: Value) -> str:
    """A value as Go's %#v writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return (
            "map[string]interface {}{" + ", ".join(f'"{key}":{_go(item)}' for key, item in sorted(value.items())) + "}"
        )
    if isinstance(value, list):
        return "[]interface {}{" + ", ".join(map(_go, value)) + "}"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _shown(value: Value) -> str:
    """A value as structured-merge-diff's ToString writes it, through %v."""
    return f"&{{{_plain(value)}}}"


def _plain(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_plain(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(_plain, value)) + "]"
    return str(value)
