"""Kinds of single values: how each is read, and its JSON Schema."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

from bootstrap.inventory.document import Broken, Mapping, Node, Scalar, Sequence, is_null
from bootstrap.inventory.problems import Problems, Where, shown

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
T_co = TypeVar("T_co", covariant=True)
Json: TypeAlias = dict[str, object]

_YAML_WORDS: Final = {"bool": "a boolean", "int": "a number", "float": "a number", "null": "nothing"}
_GIB: Final = 1024
_MIB_PER: Final = {"MiB": 1, "GiB": _GIB, "TiB": _GIB * _GIB}
_LOOSE_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)


class RefusedError(Exception):
    """A value is refused; becomes a problem at the value's place."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Kind(Protocol[T_co]):
    """What a key may hold."""

    def words(self) -> str:
        """In words, for messages and the reference: `a whole number from 1 to 7`."""

    def read(self, node: Node, where: Where, problems: Problems) -> T_co | None:
        """The value, or None with a problem noted."""

    def schema(self) -> Json:
        """The same as JSON Schema."""


class ScalarKind(ABC, Generic[T]):
    """Base of all kinds of single values."""

    def read(self, node: Node, where: Where, problems: Problems) -> T | None:
        """See `Kind`."""
        try:
            match node:
                case Broken():
                    return None
                case Scalar() if is_null(node):
                    raise RefusedError("has no value", f"give {self.words()}, or leave the key out")
                case Scalar():
                    return self.convert(node)
                case Sequence():
                    raise RefusedError(f"must be {self.words()}, not a list")
                case Mapping():
                    raise RefusedError(f"must be {self.words()}, not a mapping")
        except RefusedError as refused:
            problems.add(where, refused.message, refused.hint)
        return None

    @abstractmethod
    def words(self) -> str:
        """See `Kind`."""

    @abstractmethod
    def convert(self, node: Scalar) -> T:
        """The value of a scalar; raises `RefusedError`."""


@dataclass(frozen=True, kw_only=True)
class Text(ScalarKind[T]):
    """Text of a form.

    Attributes:
        label: In words.
        pattern: Regular expression for the whole, in the subset Python and JavaScript share.
        parse: Makes the value; raises `RefusedError`.
        loose: Unquoted numbers, dates and `1:30` are read as text, since the form is unambiguous.
        secret: Messages do not repeat the value.
        explain: Makes a hint for a text of another form.
    """

    label: str
    pattern: str
    parse: Callable[[str], T]
    loose: bool = False
    secret: bool = False
    explain: Callable[[str], str] | None = None

    def words(self) -> str:
        """See `Kind`."""
        return self.label

    def convert(self, node: Scalar) -> T:
        """See `ScalarKind`."""
        if not re.fullmatch(self.pattern, node.text):
            found = "" if self.secret else f", not {shown(node.text)}"
            raise RefusedError(f"must be {self.words()}{found}", self.explain(node.text) if self.explain else "")
        if node.plain and node.tag != "str" and not self.loose:
            taken = _YAML_WORDS.get(node.tag, f"a {node.tag}")
            raise RefusedError(f"YAML takes {node.text} for {taken}", f'quote it: "{node.text}"')
        return self.parse(node.text)

    def schema(self) -> Json:
        """See `Kind`."""
        return {"type": "string", "pattern": f"^(?:{self.pattern})$"}


@dataclass(frozen=True, kw_only=True)
class Choice(ScalarKind[T]):
    """One of a few words.

    Attributes:
        options: The words.
        parse: Makes the value of one.
    """

    options: tuple[str, ...]
    parse: Callable[[str], T]

    def words(self) -> str:
        """See `Kind`."""
        return "one of " + ", ".join(self.options)

    def convert(self, node: Scalar) -> T:
        """See `ScalarKind`."""
        if node.text not in self.options:
            raise RefusedError(f"must be {self.words()}, not {shown(node.text)}")
        return self.parse(node.text)

    def schema(self) -> Json:
        """See `Kind`."""
        return {"type": "string", "enum": list(self.options)}


def choice_of(enumeration: type[E]) -> Choice[E]:
    """One of an enumeration's words."""
    return Choice(options=tuple(each.value for each in enumeration), parse=enumeration)


@dataclass(frozen=True, kw_only=True)
class Integer(ScalarKind[int]):
    """A whole number in a range, perhaps only the odd ones."""

    minimum: int
    maximum: int
    odd: bool = False

    def words(self) -> str:
        """See `Kind`."""
        kind = "an odd number" if self.odd else "a whole number"
        return f"{kind} from {self.minimum} to {self.maximum}"

    def convert(self, node: Scalar) -> int:
        """See `ScalarKind`."""
        self._check_digits(node)
        text = node.text
        # Longer texts are out of any range; int() would refuse the very long ones with an error of its own.
        number = int(text) if len(text) <= 20 else None
        if number is None or not self.minimum <= number <= self.maximum:
            raise RefusedError(f"must be {self.words()}, not {shown(text)[1:-1]}")
        if self.odd and number % 2 == 0:
            hint = f"etcd needs a majority: {number} servers tolerate no more failures than {number - 1}"
            raise RefusedError(f"must be {self.words()}, not {number}", hint)
        return number

    def _check_digits(self, node: Scalar) -> None:
        text = node.text
        if not node.origin and not node.plain:
            raise RefusedError(f"must be {self.words()}, not text", "remove the quotes")
        if re.fullmatch(r"[-+]?0[0-9]+", text):
            raise RefusedError(f"YAML reads {text} as octal", "write it without the leading zero")
        if re.fullmatch(r"[0-9]+(:[0-9]+)+", text):
            raise RefusedError(f"YAML reads {text} to the base 60", f"must be {self.words()}")
        if not re.fullmatch(r"-?[0-9]+", text):
            raise RefusedError(f"must be {self.words()}, not {shown(text)}")

    def schema(self) -> Json:
        """See `Kind`."""
        if self.odd:
            return {"type": "integer", "enum": list(range(self.minimum, self.maximum + 1, 2))}
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, kw_only=True)
class Number(ScalarKind[float]):
    """A number that may have decimals."""

    minimum: float
    maximum: float

    def words(self) -> str:
        """See `Kind`."""
        return f"a number from {self.minimum:g} to {self.maximum:g}"

    def convert(self, node: Scalar) -> float:
        """See `ScalarKind`."""
        fits = re.fullmatch(r"(0|[1-9][0-9]{0,9})(\.[0-9]{1,9})?", node.text)
        if not fits or not (node.plain or node.origin) or not self.minimum <= float(node.text) <= self.maximum:
            raise RefusedError(f"must be {self.words()}, not {shown(node.text)}")
        return float(node.text)

    def schema(self) -> Json:
        """See `Kind`."""
        return {"type": "number", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, kw_only=True)
class Boolean(ScalarKind[bool]):
    """`true` or `false`, and none of YAML 1.1's other twenty spellings."""

    def words(self) -> str:
        """See `Kind`."""
        return "true or false"

    def convert(self, node: Scalar) -> bool:
        """See `ScalarKind`."""
        if node.text not in ("true", "false") or not (node.plain or node.origin):
            yes = node.text.lower() in ("yes", "on", "y", "true", "1")
            no = node.text.lower() in ("no", "off", "n", "false", "0")
            hint = f"write {'true' if yes else 'false'}, unquoted" if yes or no else ""
            raise RefusedError(f"must be {self.words()}, not {shown(node.text)}", hint)
        return node.text == "true"

    def schema(self) -> Json:
        """See `Kind`."""
        return {"type": "boolean"}


@dataclass(frozen=True, kw_only=True)
class Size(ScalarKind[int]):
    """An amount of memory or disk with its binary unit.

    Attributes:
        gib: The value is in whole GiB; else in MiB.
        rounds_up: With `gib`: parts of a GiB are rounded up, not refused.
        minimum, maximum: In that unit.
    """

    minimum: int
    maximum: int
    gib: bool = False
    rounds_up: bool = False

    def words(self) -> str:
        """See `Kind`."""
        return f"a size such as {'20GiB' if self.gib else '2GiB or 2048MiB'}"

    def convert(self, node: Scalar) -> int:
        """See `ScalarKind`."""
        found = re.fullmatch(r"([0-9]{1,9}) ?(MiB|GiB|TiB)", node.text)
        if not found:
            raise RefusedError(f"must be {self.words()}, not {shown(node.text)}", self._meant(node.text))
        mib = int(found[1]) * _MIB_PER[found[2]]
        if self.gib and mib % _GIB and not self.rounds_up:
            raise RefusedError(f"{node.text} is not a whole number of GiB", f"write {mib // _GIB + 1}GiB")
        value, unit = (-(-mib // _GIB), "GiB") if self.gib else (mib, "MiB")
        if not self.minimum <= value <= self.maximum:
            raise RefusedError(
                f"must be from {self.minimum}{unit} to {self.maximum}{unit}, not {shown(node.text)[1:-1]}"
            )
        return value

    def _meant(self, text: str) -> str:
        """A hint: `G`, `GB` and `Gi` are refused, since they mean different things in different tools."""
        found = _LOOSE_SIZE.fullmatch(text)
        if not found:
            return ""
        number, letter = found[1], found[2].upper()
        if not letter:
            return f"the unit is missing: {number}GiB, or {number}MiB"
        if letter == "K":
            return "the smallest unit is MiB"
        if "." not in number:
            return f"units are MiB, GiB and TiB: write {number}{letter}iB"
        return f"whole numbers only: write {round(float(number) * _MIB_PER[f'{letter}iB'])}MiB"

    def schema(self) -> Json:
        """See `Kind`."""
        return {"type": "string", "pattern": "^[0-9]{1,9} ?(?:MiB|GiB|TiB)$"}
