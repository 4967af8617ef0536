"""Kinds made of others: lists, maps, sections of fields. A section is the table that parser, schema and docs share."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar, cast

from bootstrap.inventory.document import Broken, Mapping, Node, Scalar, Sequence
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.values.scalars import Json, Kind

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
T_co = TypeVar("T_co", covariant=True)

_NODE_WORDS: Final = {Scalar: "a single value", Sequence: "a list", Mapping: "a mapping"}


@dataclass(frozen=True, kw_only=True)
class Field(Generic[T_co]):
    """One key of a section.

    Attributes:
        name: The key.
        kind: What it holds.
        doc: One sentence for the reference and for editors.
        default: What stands in for it, as it would be written; None for nothing.
        default_doc: In words, where `default` does not say it.
        example: As it would be written.
    """

    name: str
    kind: Kind[T_co]
    doc: str
    default: str | int | float | bool | None = None
    default_doc: str = ""
    example: object = None


@dataclass(frozen=True, kw_only=True)
class Values:
    """What a section of the inventory holds, with the place of each value."""

    where: Where
    found: dict[str, object] = field(default_factory=dict)
    places: dict[str, Where] = field(default_factory=dict)

    def given(self, key: Field[object]) -> bool:
        """Whether the key is there at all, right or wrong."""
        return key.name in self.places

    def at(self, key: Field[object]) -> Where:
        """Where the value stands; for one that is not given, where it would."""
        return self.places.get(key.name) or self.where.key(key.name, self.where.line)

    def get(self, key: Field[T]) -> T | None:
        """The value, or its default; None where it is wrong, or absent without a default."""
        if key.name in self.places:
            return cast("T | None", self.found.get(key.name))
        return default_of(key, self.at(key))

    def sure(self, key: Field[T]) -> T:
        """The value of a key that has a default, in an inventory that has no problems."""
        value = self.get(key)
        if value is None:
            raise LookupError(f"{self.at(key).path} has neither a value nor a default")
        return value


def default_of(key: Field[T], where: Where) -> T | None:
    """What stands in for a key that is not given, read as if it were written; a section stands in for itself."""
    if section_of(key.kind) is not None:
        node: Node = Mapping()
    elif key.default is not None:
        text = str(key.default).lower() if isinstance(key.default, bool) else str(key.default)
        node = Scalar(text=text, origin="default")
    else:
        return None
    return key.kind.read(node, Where(path=where.path), Problems())


@dataclass(frozen=True, kw_only=True)
class Section:
    """A mapping with known keys.

    Attributes:
        fields: The keys.
        doc: What it is about.
        exclusive: Names of keys of which at most one is given.
        needs_one: Exactly one of `exclusive` is.
        refusal: What to say where no mapping stands; never repeats what does, since it may be a secret.
    """

    doc: str
    fields: tuple[Field[Any], ...]
    exclusive: tuple[str, ...] = ()
    needs_one: bool = False
    refusal: tuple[str, str] = ("", "")

    def words(self) -> str:
        """See `Kind`."""
        names = [each.name for each in self.fields]
        return "a mapping with the keys " + ", ".join(names)

    def read(self, node: Node, where: Where, problems: Problems) -> Values | None:
        """See `Kind`."""
        if isinstance(node, Broken):
            return None
        if not isinstance(node, Mapping):
            message, hint = self.refusal
            empty = isinstance(node, Scalar) and node.plain and node.tag == "null"
            found = "has no value" if empty else f"must be a mapping, not {_NODE_WORDS[type(node)]}"
            problems.add(where, message or found, hint or f"its keys: {', '.join(each.name for each in self.fields)}")
            return None
        values = Values(where=where)
        known = {each.name: each for each in self.fields}
        for name, child in node.entries.items():
            at = _place(where, name, child)
            if name not in known:
                unknown = Where(path=at.path, line=node.lines.get(name))
                problems.add(unknown, "is not a known key", self._meant(name))
                continue
            values.places[name] = at
            value = known[name].kind.read(child, at, problems)
            if value is not None:
                values.found[name] = value
        self._check_exclusive(values, problems)
        return values

    def _check_exclusive(self, values: Values, problems: Problems) -> None:
        given = [name for name in values.places if name in self.exclusive]
        if len(given) > 1:
            at = values.places[given[-1]]
            problems.add(at, f"{' and '.join(given)} exclude each other", "keep one")
        if self.needs_one and not given:
            problems.add(values.where, f"needs one of {', '.join(self.exclusive)}")

    def _meant(self, name: str) -> str:
        names = [each.name for each in self.fields]
        close = difflib.get_close_matches(name.lower().replace("-", "_"), names, n=1, cutoff=0.6)
        if close:
            return f"did you mean {close[0]}?"
        for each in self.fields:
            section = section_of(each.kind)
            if section is not None and name in [inner.name for inner in section.fields]:
                return f"it belongs under {each.name}"
        return f"known: {', '.join(names)}"

    def schema(self) -> Json:
        """See `Kind`."""
        out: Json = {
            "type": "object",
            "description": self.doc,
            "properties": {each.name: _field_schema(each) for each in self.fields},
            "additionalProperties": False,
        }
        pairs = [[a, b] for i, a in enumerate(self.exclusive) for b in self.exclusive[i + 1 :]]
        if pairs:
            out["not"] = {"anyOf": [{"required": pair} for pair in pairs]}
        if self.needs_one:
            out["anyOf"] = [{"required": [name]} for name in self.exclusive]
        return out


@dataclass(frozen=True, kw_only=True)
class Short:
    """A section that may be written as one value: `workers: 3` for `workers: {count: 3}`.

    Attributes:
        section: The long form.
        keys: Fields the one value may stand for, by the tag YAML gives it; `str` is what all else falls to.
    """

    section: Section
    keys: tuple[tuple[str, Field[Any]], ...]

    def words(self) -> str:
        """See `Kind`."""
        return " or ".join([*(key.kind.words() for _tag, key in self.keys), self.section.words()])

    def expand(self, node: Node) -> Node:
        """The long form of a node."""
        if not isinstance(node, Scalar) or (node.plain and node.tag == "null"):
            return node
        by_tag = dict(self.keys)
        key = by_tag.get(node.tag) or self.keys[0][1]
        return Mapping(entries={key.name: node}, lines={key.name: node.line}, line=node.line)

    def read(self, node: Node, where: Where, problems: Problems) -> Values | None:
        """See `Kind`."""
        if isinstance(node, Scalar):
            inner = Problems()
            values = self.section.read(self.expand(node), where, inner)
            for problem in inner.in_order():
                # What the user wrote is the short form, so that is what the problem names.
                problems.add(Where(path=where.path, line=problem.line), problem.message, problem.hint)
            return values
        return self.section.read(node, where, problems)

    def schema(self) -> Json:
        """See `Kind`."""
        return {"anyOf": [*(key.kind.schema() for _tag, key in self.keys), self.section.schema()]}


@dataclass(frozen=True, kw_only=True)
class ListOf(Generic[T]):
    """A list without repeats, as a tuple.

    Attributes:
        item: What it holds.
        same: Picks what two items must not share; by default the item itself.
        what: What to call that.
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
            hint = f"write [{node.text}]" if isinstance(node, Scalar) and node.tag != "null" else ""
            problems.add(where, f"must be a list, not {_NODE_WORDS[type(node)]}", hint)
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

    def schema(self) -> Json:
        """See `Kind`."""
        return {"type": "array", "items": self.item.schema(), "uniqueItems": True}


@dataclass(frozen=True, kw_only=True)
class MapOf(Generic[K, T]):
    """A mapping whose keys are the user's, as a tuple of pairs in the order written."""

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
            problems.add(where, f"must be a mapping, not {_NODE_WORDS[type(node)]}")
            return None
        pairs: list[tuple[K, T]] = []
        for name, child in node.entries.items():
            line = node.lines.get(name)
            key = self.key.read(Scalar(text=name, line=line), where.key(name, line), problems)
            value = self.value.read(child, _place(where, name, child), problems)
            if key is not None and value is not None:
                pairs.append((key, value))
        return tuple(pairs) if len(pairs) == len(node.entries) else None

    def schema(self) -> Json:
        """See `Kind`."""
        return {"type": "object", "propertyNames": self.key.schema(), "additionalProperties": self.value.schema()}


def section_of(kind: object) -> Section | None:
    """The section a kind is or leads to, if any."""
    match kind:
        case Section():
            return kind
        case Short():
            return kind.section
        case _:
            return None


def _place(where: Where, name: str, child: Node) -> Where:
    if isinstance(child, Scalar) and child.origin and child.origin != "default":
        return Where(path=child.origin)
    return where.key(name, child.line)


def _field_schema(each: Field[Any]) -> Json:
    out: Json = {"description": each.doc, **each.kind.schema()}
    out["description"] = each.doc
    if each.default is not None:
        out["default"] = each.default
    if each.example is not None:
        out["examples"] = [each.example]
    return out
