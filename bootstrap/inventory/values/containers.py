"""Kinds of values with other kinds in them: lists, and maps with keys of the user's choice."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from bootstrap.inventory.document import Broken, Mapping, Node, Scalar, Sequence
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.values.scalars import Json, Kind, Text

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
T_co = TypeVar("T_co", covariant=True)

NODE_WORDS: Final = {Scalar: "a single value", Sequence: "a list", Mapping: "a mapping"}


@dataclass(frozen=True, kw_only=True)
class ListOf(Generic[T]):
    """A list without repeats, as a tuple.

    Attributes:
        item: The kind of its items.
        same: The part that must be unique; by default the whole item.
        what: The name of that part.
    """

    item: Kind[T]
    same: Callable[[T], Hashable] | None = None
    what: str = "item"

    def words(self) -> str:
        """See `Kind`."""
        return f"a list; each {self.item.words()}"

    def read(self, node: Node, where: Where, problems: Problems) -> tuple[T, ...] | None:
        """See `Kind`."""
        if isinstance(node, Broken):
            return None
        if not isinstance(node, Sequence):
            problems.add(where, f"must be a list, not {NODE_WORDS[type(node)]}", self._hint(node))
            return None
        values: list[T] = []
        identities: list[object] = []
        for index, child in enumerate(node.items):
            at = where.item(index, child.line)
            value = self.item.read(child, at, problems)
            if value is None:
                continue
            identity = self.same(value) if self.same else value
            if identity in identities:
                problems.add(at, f"the {self.what} is there already")
            identities.append(identity)
            values.append(value)
        return tuple(values) if len(values) == len(node.items) else None

    def _hint(self, node: Node) -> str:
        """The list that a single value was meant to be; never a secret."""
        secret = isinstance(self.item, Text) and self.item.secret
        return f"write [{node.text}]" if isinstance(node, Scalar) and node.tag != "null" and not secret else ""

    def schema(self) -> Json:
        """See `Kind`."""
        return {"type": "array", "items": self.item.schema(), "uniqueItems": True}


@dataclass(frozen=True, kw_only=True)
class MapOf(Generic[K, T]):
    """A mapping with keys of the user's choice, as a tuple of pairs in their order."""

    key: Kind[K]
    value: Kind[T]

    def words(self) -> str:
        """See `Kind`."""
        return f"a mapping; each key {self.key.words()}, each value {self.value.words()}"

    def read(self, node: Node, where: Where, problems: Problems) -> tuple[tuple[K, T], ...] | None:
        """See `Kind`."""
        if isinstance(node, Broken):
            return None
        if not isinstance(node, Mapping):
            problems.add(where, f"must be a mapping, not {NODE_WORDS[type(node)]}")
            return None
        pairs: list[tuple[K, T]] = []
        for name, child in node.entries.items():
            line = node.lines.get(name)
            key = self.key.read(Scalar(text=name, line=line), where.key(name, line), problems)
            value = self.value.read(child, place_of(where, name, child), problems)
            if key is not None and value is not None:
                pairs.append((key, value))
        return tuple(pairs) if len(pairs) == len(node.entries) else None

    def schema(self) -> Json:
        """See `Kind`."""
        return {"type": "object", "propertyNames": self.key.schema(), "additionalProperties": self.value.schema()}


def place_of(where: Where, name: str, child: Node) -> Where:
    """The place of a key's value: in the file, or the flag or variable that it comes from."""
    if isinstance(child, Scalar) and child.origin and child.origin != "default":
        return Where(path=child.origin)
    return where.key(name, child.line)
