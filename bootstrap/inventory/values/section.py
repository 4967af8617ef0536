"""Sections: mappings with known keys. A section's class is the table that parser, schema, reference and build share.

A key is declared once:

    class Vip(Section, makes=VipSpec):
        \"\"\"A virtual IP address for the API, which moves to a healthy server.\"\"\"

        router_id = Key(kind=Integer(minimum=1, maximum=255), example=51, doc="VRRP's virtual router id.")

`Vip.router_id` is the declaration; `vip.router_id` is the value in the file; `vip.make(places)` is a `VipSpec` with it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, overload

from bootstrap.inventory.document import Broken, Mapping, Node, Scalar, is_null
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.values.containers import NODE_WORDS, place_of
from bootstrap.inventory.values.scalars import Json, Kind
from bootstrap.model.words import did_you_mean

if TYPE_CHECKING:
    from bootstrap.inventory.files import Places

T = TypeVar("T")
S = TypeVar("S", bound="Section")
T_co = TypeVar("T_co", covariant=True)


@dataclass(kw_only=True, eq=False)
class Key(Generic[T_co]):
    """One key of a section.

    Attributes:
        kind: The kind of its value.
        doc: One sentence for the reference and for editors; empty for the doc of its section.
        default: The default as in a file; None for none.
        default_doc: The default in words, where `default` cannot say it.
        example: An example as in a file.
        optional: For a section that is None without the key; other sections have their own defaults.
        required: Message and hint where the section is given without this key.
        fills: The field of the specification that it fills; empty for the one of its own name.
        name: The key, from the class it is declared in.
    """

    kind: Kind[T_co]
    doc: str = ""
    default: str | int | float | bool | None = None
    default_doc: str = ""
    example: object = None
    optional: bool = False
    required: tuple[str, str] | None = None
    fills: str = ""
    name: str = ""

    def __set_name__(self, owner: type[Section], name: str) -> None:
        self.name = name
        self.fills = self.fills or name
        section = section_of(self.kind)
        if section is not None:
            self.doc = self.doc or section.doc()

    @overload
    def __get__(self, section: None, owner: type[Section]) -> Key[T_co]: ...
    @overload
    def __get__(self, section: Section, owner: type[Section]) -> T_co | None: ...
    def __get__(self, section: Section | None, owner: type[Section]) -> Key[T_co] | T_co | None:
        """The declaration; on a section that was read, the value or its default, or None."""
        return self if section is None else section.value(self)


class Section:
    """The values of a mapping with known keys, with their places; its class declares the keys.

    Class arguments:
        makes: The specification that it describes.
        exclusive: Names of keys of which at most one is given.
        needs_one: Exactly one of `exclusive` is.
        refusal: Message and hint for a value that is no mapping; never repeats it, since it may be a secret.

    All but `makes` are inherited.
    """

    keys: ClassVar[dict[str, Key[Any]]] = {}
    makes: ClassVar[Callable[..., object] | None] = None
    exclusive: ClassVar[tuple[str, ...]] = ()
    needs_one: ClassVar[bool] = False
    refusal: ClassVar[tuple[str, str]] = ("", "")

    def __init_subclass__(
        cls,
        *,
        makes: Callable[..., object] | None = None,
        exclusive: tuple[str, ...] | None = None,
        needs_one: bool | None = None,
        refusal: tuple[str, str] | None = None,
    ) -> None:
        cls.keys = cls.keys | {name: each for name, each in vars(cls).items() if isinstance(each, Key)}
        cls.makes = makes
        cls.exclusive = cls.exclusive if exclusive is None else exclusive
        cls.needs_one = cls.needs_one if needs_one is None else needs_one
        cls.refusal = refusal or cls.refusal

    def __init__(self, where: Where) -> None:
        self.where = where
        self.found: dict[str, object] = {}
        self.places: dict[str, Where] = {}

    def given(self, key: Key[object]) -> bool:
        """Whether the key is given, right or wrong."""
        return key.name in self.places

    def at(self, key: Key[object]) -> Where:
        """The value's place; for a missing one, where it would be."""
        return self.places.get(key.name) or self.where.key(key.name, self.where.line)

    def value(self, key: Key[T]) -> T | None:
        """The value, or its default; None where it is wrong, or absent without a default."""
        if key.name in self.places:
            found: Any = self.found.get(key.name)
            return found  # type: ignore[no-any-return]
        return default_of(key, self.at(key))

    def sure(self, key: Key[T]) -> T:
        """The value of a key that has a default, in an inventory that has no problems."""
        value = self.value(key)
        if value is None:
            raise LookupError(f"{self.at(key).path} has neither a value nor a default")
        return value

    def make(self, places: Places) -> object:
        """The specification, from an inventory without problems."""
        if self.makes is None:
            raise TypeError(f"{type(self).__name__} does not say what it makes")
        return fill(self.makes, self, places=places)

    @classmethod
    def doc(cls) -> str:
        """What it is about."""
        return cls.__doc__ or ""

    @classmethod
    def words(cls) -> str:
        """See `Kind`."""
        return "a mapping with the keys " + ", ".join(cls.keys)

    @classmethod
    def read(cls, node: Node, where: Where, problems: Problems) -> Self | None:
        """See `Kind`."""
        if isinstance(node, Broken):
            return None
        if not isinstance(node, Mapping):
            message, hint = cls.refusal
            found = "has no value" if is_null(node) else f"must be a mapping, not {NODE_WORDS[type(node)]}"
            problems.add(where, message or found, hint or f"its keys: {', '.join(cls.keys)}")
            return None
        section = cls(where)
        for name, child in node.entries.items():
            at = place_of(where, name, child)
            if name not in cls.keys:
                problems.add(Where(path=at.path, line=node.lines.get(name)), "is not a known key", cls._meant(name))
                continue
            section.places[name] = at
            value = cls.keys[name].kind.read(child, at, problems)
            if value is not None:
                section.found[name] = value
        section._check_together(problems)
        return section

    def _check_together(self, problems: Problems) -> None:
        given = [name for name in self.places if name in self.exclusive]
        if len(given) > 1:
            problems.add(self.places[given[-1]], f"{' and '.join(given)} exclude each other", "keep one")
        if self.needs_one and not given:
            problems.add(self.where, f"needs one of {', '.join(self.exclusive)}")
        for key in self.keys.values():
            if key.required is not None and not self.given(key):
                problems.add(self.where, *key.required)

    @classmethod
    def _meant(cls, name: str) -> str:
        meant = did_you_mean(name.replace("-", "_"), cls.keys)
        if meant:
            return meant
        sections = ((key.name, section_of(key.kind)) for key in cls.keys.values())
        under = next((above for above, section in sections if section is not None and name in section.keys), None)
        return f"it belongs under {under}" if under else f"known: {', '.join(cls.keys)}"

    @classmethod
    def schema(cls) -> Json:
        """See `Kind`."""
        out: Json = {
            "type": "object",
            "description": cls.doc(),
            "properties": {name: _key_schema(key) for name, key in cls.keys.items()},
            "additionalProperties": False,
        }
        pairs = [[a, b] for i, a in enumerate(cls.exclusive) for b in cls.exclusive[i + 1 :]]
        if pairs:
            out["not"] = {"anyOf": [{"required": pair} for pair in pairs]}
        if cls.needs_one:
            out["anyOf"] = [{"required": [name]} for name in cls.exclusive]
        return out


@dataclass(frozen=True, kw_only=True)
class Short(Generic[S]):
    """A section that may be written as one value: `workers: 3` for `workers: {count: 3}`.

    Attributes:
        section: The long form.
        keys: Keys that the one value may stand for, by the tag YAML gives it; all else is the first one's.
    """

    section: type[S]
    keys: tuple[tuple[str, Key[Any]], ...]

    def words(self) -> str:
        """See `Kind`."""
        return " or ".join([*(key.kind.words() for _tag, key in self.keys), self.section.words()])

    def expand(self, node: Node) -> Node:
        """The long form of a node."""
        if not isinstance(node, Scalar) or is_null(node):
            return node
        key = dict(self.keys).get(node.tag) or self.keys[0][1]
        return Mapping(entries={key.name: node}, lines={key.name: node.line}, line=node.line)

    def read(self, node: Node, where: Where, problems: Problems) -> S | None:
        """See `Kind`."""
        if not isinstance(node, Scalar):
            return self.section.read(node, where, problems)
        inner = Problems()
        section = self.section.read(self.expand(node), where, inner)
        for problem in inner.in_order():
            # The user wrote the short form, so the problem names it.
            problems.add(Where(path=where.path, line=problem.line), problem.message, problem.hint)
        return section

    def schema(self) -> Json:
        """See `Kind`."""
        return {"anyOf": [*(key.kind.schema() for _tag, key in self.keys), self.section.schema()]}


def section_of(kind: object) -> type[Section] | None:
    """The section of a kind, if it has one."""
    if isinstance(kind, type) and issubclass(kind, Section):
        return kind
    return kind.section if isinstance(kind, Short) else None


def default_of(key: Key[T], where: Where) -> T | None:
    """The default of a missing key, read as if it were written; for a section its own defaults."""
    if section_of(key.kind) is not None:
        if key.optional:
            return None
        node: Node = Mapping()
    elif key.default is not None:
        text = str(key.default).lower() if isinstance(key.default, bool) else str(key.default)
        node = Scalar(text=text, origin="default")
    else:
        return None
    return key.kind.read(node, Where(path=where.path), Problems())


def fill(makes: Callable[..., T], *sections: Section, places: Places, **said: object) -> T:
    """The specification that sections describe.

    Args:
        makes: Its class. A field comes from `said`, else from the key that fills it, else it keeps its default.
        sections: The keys, from an inventory without problems; of two with the same key the first counts.
        places: For relative paths.
        said: Fields that no single key fills.
    """
    keys = {key.fills: (section, key) for section in reversed(sections) for key in section.keys.values()}
    values = dict(said)
    for name in inspect.signature(makes).parameters.keys() & keys.keys() - said.keys():
        section, key = keys[name]
        value = section.value(key)
        if value is not None:
            values[name] = _made(value, places)
    return makes(**values)


def _made(value: object, places: Places) -> object:
    match value:
        case Section():
            return value.make(places)
        case Path():
            return places.resolve(value)
        case _:
            return value


def _key_schema(key: Key[Any]) -> Json:
    out: Json = {"description": key.doc, **key.kind.schema()}
    out["description"] = key.doc
    if key.default is not None:
        out["default"] = key.default
    if key.example is not None:
        out["examples"] = [key.example]
    return out
