"""Sets of fields: paths as tuples of path elements, in the words of FieldsV1.

`f:NAME` is a field, `k:{...}` the element of a list with these keys, `v:VALUE` a value of a set. See
metadata.managedFields in Kubernetes' documentation, and fieldpath in sigs.k8s.io/structured-merge-diff.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ...shapes import Obj
from ..types.types import Type

Path = tuple[str, ...]
Paths = frozenset[Path]
NONE: Paths = frozenset()


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def element_of(kind: Type, item: Any) -> str:
    """The path element of a list's item. Raises ValueError for items that have none."""
    if not kind.keys:
        if isinstance(item, dict):
            raise ValueError("associative list without keys has an element that's a map type")
        if item is None:
            raise ValueError("associative list without keys has an element that's an explicit null")
        return "v:" + compact(item)
    if item is None:
        raise ValueError("associative list with keys may not have a null element")
    if not isinstance(item, dict):
        raise ValueError("associative list with keys may not have non-map elements")
    defaults = kind.element().defaults
    found = {key: item.get(key, defaults.get(key)) for key in sorted(kind.keys) if key in item or key in defaults}
    if not found:
        names = "[" + " ".join(map(quoted, kind.keys)) + "]"
        raise ValueError(
            f"associative list with keys has an element that omits all key fields {names} (and doesn't have default "
            "values for any key fields)"
        )
    return "k:" + compact(found)


def quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def shown_element(element: str) -> str:
    """A path element as messages show it."""
    mark, text = element[:2], element[2:]
    if mark == "f:":
        return f".{text}"
    if mark == "v:":
        return f"[={text}]"
    return "[" + ",".join(f"{key}={quoted(value)}" for key, value in json.loads(text).items()) + "]"


def shown(path: Path) -> str:
    return "".join(map(shown_element, path))


def from_fields(fields: Obj, above: Path = ()) -> Paths:
    """The set that a `fieldsV1` describes."""
    found: set[Path] = set()
    for element, below in fields.items():
        if element == ".":
            found.add(above)
        elif not below:
            found.add((*above, element))
        else:
            found |= from_fields(below, (*above, element))
    return frozenset(found)


def to_fields(paths: Paths) -> Obj:
    """A set as `fieldsV1`."""
    return _written(tree_of(paths))


class Tree:
    """The members and the branches of a set, by path element."""

    def __init__(self) -> None:
        self.members: set[str] = set()
        self.below: dict[str, Tree] = {}


def tree_of(paths: Iterable[Path]) -> Tree:
    root = Tree()
    for path in paths:
        at = root
        for element in path[:-1]:
            at = at.below.setdefault(element, Tree())
        if path:
            at.members.add(path[-1])
    return root


def _written(tree: Tree) -> Obj:
    result: Obj = {}
    for element in sorted({*tree.members, *tree.below}):
        below = tree.below.get(element)
        own: Obj = {".": {}} if below and element in tree.members else {}
        result[element] = own | _written(below) if below else {}
    return result


def in_order(tree: Tree, above: Path = ()) -> Iterator[Path]:
    """The paths of a set in the order in which Kubernetes lists conflicts: members first, then what is below."""
    for element in sorted(tree.members):
        yield (*above, element)
    for element in sorted(tree.below):
        yield from in_order(tree.below[element], (*above, element))


def without_below(paths: Paths, excluded: Iterable[Path]) -> Paths:
    """A set without these paths and all below them."""
    cut = set(excluded)
    return frozenset(path for path in paths if not any(path[:at] in cut for at in range(1, len(path) + 1)))


def with_named(kind: Type, paths: Paths) -> Paths:
    """A set with the structs' fields above its members: they are not members of their own when a config names them."""
    found = set(paths)
    for path in paths:
        at: Type | None = kind
        for depth, element in enumerate(path[:-1], 1):
            if at is None:
                break
            name = element[2:]
            if element[:2] == "f:" and at.has(name):
                found.add(path[:depth])
            at = at.field(name) if element[:2] == "f:" else at.element()
    return frozenset(found)
