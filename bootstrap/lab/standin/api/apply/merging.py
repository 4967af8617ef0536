"""Merging a configuration into an object, and taking fields out of one."""

from __future__ import annotations

from collections.abc import Iterator

from ..types.types import Type
from .paths import Paths, Tree, element_of, shown_element, tree_of
from .walking import EMPTY, MISSING, Value, is_leaf


def merged(kind: Type, live: Value, config: Value) -> Value:
    """The object with the configuration's values; MISSING where nothing is left."""
    if is_leaf(kind, live, config) or all(value is MISSING or value in EMPTY for value in (live, config)):
        return live if config is MISSING else config
    if kind.kind == "list":
        return _merged_list(kind, live, config) or MISSING
    before, after = (value if isinstance(value, dict) else {} for value in (live, config))
    result = {}
    for name in {**before, **after}:
        value = merged(kind.field(name) or kind, before.get(name, MISSING), after.get(name, MISSING))
        if value is not MISSING:
            result[name] = value
    return result or MISSING


def _merged_list(kind: Type, live: Value, config: Value) -> list[Value]:
    """Elements of both, in the configuration's order where it has one; others stay where they are."""
    before = [(element_of(kind, item), item) for item in live or []] if live is not MISSING else []
    after = [(element_of(kind, item), item) for item in config or []] if config is not MISSING else []
    own, wanted = _unique(before), dict(after)
    if len(wanted) != len(after):
        twice = next(element for at, (element, _) in enumerate(after) if element in dict(after[:at]))
        raise ValueError(f"duplicate entries for key {shown_element(twice)}")
    result = []
    for element, item in _ordered(before, list(wanted)):
        value = merged(kind.element(), own.get(element, MISSING) if element in wanted else item,
                       wanted.get(element, MISSING))  # fmt: skip
        if value is not MISSING:
            result.append(value)
    return result


def _unique(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    """Items by element; an element that occurs twice is not merged with anything."""
    found: dict[str, Value] = {}
    for element, item in pairs:
        found[element] = MISSING if element in found else item
    return found


def _ordered(before: list[tuple[str, Value]], wanted: list[str]) -> Iterator[tuple[str, Value]]:
    """The order of a merged list, as structured-merge-diff finds it.

    Live items that the configuration does not have keep their place, the others follow the configuration.
    """
    live = [element for element, _ in before]
    shared = [element for element in wanted if element in live]
    here, there, done = 0, 0, set[str]()
    while here < len(before) or there < len(wanted):
        if here < len(before):
            element, item = before[here]
            if element not in wanted:
                here += 1
                yield element, item
                continue
            if there < len(wanted) and element == wanted[there]:
                here, there, shared = here + 1, there + 1, shared[1:]
                done.add(element)
                yield element, item
                continue
            if element in done or (shared and element != shared[0]):
                here += 1
                continue
        if there < len(wanted):
            element = wanted[there]
            there += 1
            if shared and element == shared[0]:
                shared = shared[1:]
            done.add(element)
            yield element, MISSING


def removed(kind: Type, value: Value, paths: Paths) -> Value:
    """A value without these fields; None where nothing is left."""
    return _without(kind, value, tree_of(paths))


def _without(kind: Type, value: Value, tree: Tree) -> Value:
    if not isinstance(value, list | dict):
        return value
    if not value or is_leaf(kind, value):
        return None
    if isinstance(value, list):
        kept = [(element_of(kind, item), item) for item in value]
        return [_cut(kind.element(), item, tree.below.get(element)) for element, item in kept
                if element not in tree.members] or None  # fmt: skip
    result = {}
    for name, item in value.items():
        element = f"f:{name}"
        if element not in tree.members:
            result[name] = _cut(kind.field(name) or kind, item, tree.below.get(element))
    return result or None


def _cut(kind: Type, value: Value, tree: Tree | None) -> Value:
    return value if tree is None else _without(kind, value, tree)
