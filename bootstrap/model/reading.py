"""Reads what others wrote: answers, records, notes, output. Each value is checked before it is used. Pure.

    row = Reading(answer, Source(call="list the guests of pve1"))
    vmid = row.at("vmid").integer(100, 999_999_999)

A value of another form raises an error that names the call, the field and the value; nothing else is ever raised.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from bootstrap.errors import UnreadableError

T = TypeVar("T")

MOST_CHARACTERS = 1024 * 1024
"""Of one text; what others wrote has no reason to be longer."""

LAST_UNIX_S = 253_402_300_799
"""The last second of the year 9999: dates end there."""

_ABSENT = object()
_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxlong = _SHOWN.maxother = 60
_SHOWN.maxlevel = 3
_SHOWN.maxdict = _SHOWN.maxlist = 3


@dataclass(frozen=True, kw_only=True)
class Source:
    """Who wrote something, and in answer to what.

    Attributes:
        call: What was tried, as it reads after "cannot": `read the config of 7001 on pve1`.
        who: Who said it, as in `what Proxmox VE answered`.
        error: The error's type.
        secret: The values are not shown.
        resolution: What the user does next.
    """

    call: str
    who: str = "the data"
    error: type[UnreadableError] = UnreadableError
    secret: bool = False
    resolution: str = ""


def shown(value: object) -> str:
    """A value in a few characters, whatever it is."""
    try:
        return _SHOWN.repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits; nested without an end
        return f"<{type(value).__name__}>"


@dataclass(frozen=True)
class Reading:
    """A value that is not checked yet, with its place.

    Attributes:
        value: As JSON or YAML gives it.
        source: Who wrote it.
        path: Its place in the answer, such as `[3].vmid`; empty for the whole.
    """

    value: object
    source: Source
    path: str = ""

    @property
    def absent(self) -> bool:
        """Whether there is nothing: no such key, or null."""
        return self.value is None or self.value is _ABSENT

    def wrong(self, wanted: str) -> UnreadableError:
        """The error for a value that is not what is wanted."""
        found = type(self.value).__name__ if self.source.secret else shown(self.value)
        told = "nothing" if self.value is _ABSENT else found
        return self.source.error(
            f"cannot {self.source.call}: {self.source.who} cannot be read",
            details=f"{self.path or 'the answer'} is {told}, not {wanted}",
            resolution=self.source.resolution,
        )

    def at(self, key: str) -> Reading:
        """What a mapping has under a key; absent where the key or the mapping is missing."""
        if self.absent:
            return Reading(_ABSENT, self.source, self._below(key))
        return Reading(self._mapping().get(key, _ABSENT), self.source, self._below(key))

    def entries(self, *, optional: bool = False) -> tuple[tuple[str, Reading], ...]:
        """A mapping's keys and values; where `optional`, none for nothing."""
        if optional and self.absent:
            return ()
        found = self._mapping().items()
        return tuple((str(key), Reading(value, self.source, self._below(str(key)))) for key, value in found)

    def items(self, *, optional: bool = False) -> tuple[Reading, ...]:
        """A list's items; where `optional`, none for nothing."""
        if optional and self.absent:
            return ()
        if not isinstance(self.value, list | tuple):
            raise self.wrong("a list")
        return tuple(Reading(value, self.source, f"{self.path}[{index}]") for index, value in enumerate(self.value))

    def text(self, default: str | None = None, *, most: int = MOST_CHARACTERS) -> str:
        """A text as it is, or a number as one; for nothing the default, if there is one."""
        if self.absent and default is not None:
            return default
        value = self.value
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30:
            return str(value)
        if not isinstance(value, str):
            raise self.wrong("a text")
        if len(value) > most:
            raise self.wrong(f"a text of at most {most} characters")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise self.wrong("a text of whole characters")
        return value

    def word(self, pattern: str, wanted: str, *, default: str | None = None) -> str:
        """A text of a form, such as a name that becomes a part of a path; for nothing the default, if any."""
        text = self.text(default)
        if not re.fullmatch(pattern, text, re.ASCII):
            raise self.wrong(wanted)
        return text

    def integer(self, least: int, most: int, *, default: int | None = None) -> int:
        """A whole number within bounds, also one that is written as a text; for nothing the default, if any."""
        if default is not None and (self.absent or self.value == ""):
            return default
        value = _whole(self.value)
        if value is None or not least <= value <= most:
            raise self.wrong(f"a whole number from {least} to {most}")
        return value

    def number(self, least: float, most: float, *, default: float | None = None) -> float:
        """A number within bounds, also one that is written as a text; for nothing the default, if any."""
        if default is not None and (self.absent or self.value == ""):
            return default
        value = self.parsed(float, "a number") if _is_short_text(self.value) else self.value
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(f"a number from {least:g} to {most:g}")
        return float(value)

    def flag(self, *, default: bool = False) -> bool:
        """Yes or no: true, 1 or `1`; false, 0, `0` or an empty text; for nothing the default."""
        if self.absent:
            return default
        if isinstance(self.value, bool | int | str) and self.value in (True, False, "0", "1", ""):
            return self.value not in (False, "0", "")
        raise self.wrong("0 or 1")

    def parsed(self, parse: Callable[[str], T], wanted: str) -> T:
        """A text as `parse` reads it; `parse` raises ValueError for a text of another form."""
        try:
            return parse(self.text())
        except ValueError:
            raise self.wrong(wanted) from None

    def _mapping(self) -> dict[object, object]:
        if not isinstance(self.value, dict):
            raise self.wrong("a mapping")
        return self.value

    def _below(self, key: str) -> str:
        name = key if len(key) <= 60 else f"{key[:57]}..."
        return f"{self.path}.{name}" if self.path else name


def _is_short_text(value: object) -> bool:
    return isinstance(value, str) and len(value) < 40 and value.isascii()


def _whole(value: object) -> int | None:
    """A whole number, also one written as a text or as a float; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return int(value) if _INTEGER.fullmatch(value.strip()) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) else None


def read_json(text: str, source: Source) -> Reading:
    """JSON, parsed; what is no JSON, or nested deeper than a parser goes, raises as all else does."""
    whole = Reading(text, source)
    try:
        return Reading(json.loads(text), source)
    except (ValueError, RecursionError):
        raise whole.wrong("JSON") from None


def each(
    readings: Iterable[Reading], read: Callable[[Reading], T], pass_over: Callable[[UnreadableError], None]
) -> Iterator[T]:
    """Read one by one; one of odd form goes to `pass_over`, and the others are read all the same."""
    for reading in readings:
        try:
            found = read(reading)
        except UnreadableError as error:
            pass_over(error)
            continue
        yield found
