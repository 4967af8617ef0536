"""Types of objects, read from the tables when they are first asked for.

A line of a table is the name of a type and its fields, each `name:type`. A type is a letter for a scalar, `@NAME` for
a type of the tables, `[TYPE` for a list, `{TYPE` for a map of free keys. After the name of a type or the brace, `!`
says that managers own it only as a whole. `[=TYPE` is a set, `[a,b|TYPE` a list that is merged by these keys (and by
another one in a strategic merge patch: `[a,b/c|TYPE`). After a field's name, `*` says that Go always writes it, `+`
that it is a struct and no pointer, so that it is never missing; `=VALUE` at the end is its default as a key of a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .tables import cluster, core, workloads

SCALARS = {"s": "string", "y": "bytes", "t": "time", "i": "int32", "l": "int64", "n": "float64", "b": "bool",
           "q": "quantity", "x": "int-or-string"}  # fmt: skip


NOTHING: Mapping[str, Any] = {}


class Type(NamedTuple):
    """What a value may be. Fields and elements are looked up when they are needed, since types refer to each other."""

    kind: str
    """scalar, struct, map, list or any."""
    scalar: str = ""
    name: str = ""
    """Of a struct: its name in Go."""
    atomic: bool = False
    keys: tuple[str, ...] = ()
    patch_key: str = ""
    words: Mapping[str, str] = NOTHING
    """Of a struct: the word for each field's type."""
    always: frozenset[str] = frozenset()
    structs: frozenset[str] = frozenset()
    defaults: Mapping[str, str] = NOTHING
    item: str = ""
    """Of a list or map: the word for its elements' type."""
    known: Mapping[str, Type] = NOTHING
    """Of a type that no table has: the types of its fields."""
    rest: Type | None = None
    """Of such a type: that of its elements or its other fields."""

    @property
    def is_set(self) -> bool:
        return self.kind == "list" and not self.atomic and not self.keys

    def has(self, name: str) -> bool:
        """Whether a struct has this field."""
        return name in self.words or name in self.known

    def field(self, name: str) -> Type | None:
        """The type of a field or of a map's value; None: there is no such field."""
        if name in self.words:
            return parse(self.words[name])
        if name in self.known:
            return self.known[name]
        return self.element() if self.kind != "struct" or self.rest else None

    def element(self) -> Type:
        """The type of a list's or map's elements."""
        return self.rest or (parse(self.item) if self.item else ANY)

    def fields(self) -> list[str]:
        return [*self.words, *self.known]


ANY = Type("any")
OPAQUE = Type("any", atomic=True)
_lines: dict[str, str] = {}
_parsed: dict[str, Type] = {"?": ANY, "*": OPAQUE}


def parse(word: str) -> Type:
    """The type that a word of the tables means."""
    found = _parsed.get(word)
    if found is None:
        found = _parsed[word] = _read(word)
    return found


def _read(word: str) -> Type:
    if word in SCALARS:
        return Type("scalar", SCALARS[word])
    if word[0] == "@":
        return _struct(word[1:])
    if word[0] == "{":
        return Type("map", atomic=word[1] == "!", item=word[1:].lstrip("!"))
    if word[1] == "=":
        return Type("list", item=word[2:])
    keys, mark, item = word[1:].partition("|")
    if not mark or "@" in keys or "[" in keys:
        return Type("list", atomic=True, item=word[1:])
    names, _, other = keys.partition("/")
    merged = tuple(filter(None, names.split(",")))
    return Type("list", atomic=not merged, keys=merged, patch_key=other or merged[0], item=item)


def _struct(name: str) -> Type:
    if not _lines:
        text = "".join(table.TABLE for table in (core, workloads, cluster)).replace("\n ", " ")
        _lines.update((line.partition(" ")[0].rstrip("!"), line) for line in text.splitlines() if line)
    head, *rest = _lines[name].split(" ")
    words, defaults = {}, {}
    always, structs = set(), set()
    for part in rest:
        marked, _, kind = part.partition(":")
        plain = marked.rstrip("*+")
        words[plain], _, default = kind.partition("=") if kind.endswith("=TCP") else (kind, "", "")
        always |= {plain} if "*" in marked else set()
        structs |= {plain} if "+" in marked else set()
        if default:
            defaults[plain] = default
    return Type("struct", name=name.rpartition(".")[2], atomic=head.endswith("!"), words=words,
                always=frozenset(always), structs=frozenset(structs), defaults=defaults)  # fmt: skip


def of_kind(group_version: str, kind: str) -> Type | None:
    """The type of a built-in kind's objects; None for kinds that no table has."""
    group, _, version = group_version.rpartition("/")
    name = f"{(group or 'core').partition('.')[0]}.{version}.{kind}"
    parse("@meta.ObjectMeta")
    return parse(f"@{name}") if name in _lines else None
