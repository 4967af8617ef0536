"""Breaks answers and texts in the ways a hostile or broken other side may, from a seed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

DEEP = 3000
"""Levels of nesting: more than Python's parsers recurse."""


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**30), 0.5, 1e308, float("inf"), float("-inf"), float("nan"),
    "", " ", "x", "0", "-1", "1e999", "NaN", "9" * 5000, "0x10", "1_000", "٣", "²", "a\0b", "\ud800", "\u202etxt",
    "\x1b[2J", "../../etc/passwd", "a/b", ".", "/", "%2e%2e", "é" * 300, "A" * 6_000, "\n", "key=value", "a,b=c;d",
    "999.999.999.999", "::ffff:1", "fe80::1%eth0", "9999-99-99T99:99:99Z", "-0001-01-01", [], {}, [None], [[]], ["x"],
    [{}], [1, "x"], {"x": None}, {"": []}, _nested(40),
)  # fmt: skip
"""Values that no documented answer has where others are expected."""

SNIPPETS = (
    "\0", "\x1b]0;x\x07", "=", "==", " = ", "1e999", "NaN", "-1", "9" * 5000, "٣", "²", "²=²", "\ud800", "\u2028",
    "[" * DEEP, "{" * DEEP, '{"a":' * DEEP, "\r", "\n", "\n\n", "\t", "'", '"', "\\", "*a", "&a ", "<<: ", "!!int ",
    "- " * 400, "? ", ": ", "null", "~", "A" * 6_000, "é", "\ufeff", "0o777", "1:30:00", "2001-99-99", "=====", "=\n",
    "!!python/object:os.system x", "!!binary x", "!!timestamp x", "!!float x", "!!set x", "%YAML 9.9\n---\n", "{", "]",
)  # fmt: skip
"""What is put into texts."""


class Mutator:
    """Makes broken copies.

    Args:
        random: Decides; the same seed gives the same copies.
    """

    def __init__(self, random: Random) -> None:
        self.random = random

    def odd(self) -> Any:
        return copy.deepcopy(self.random.choice(ODD))

    def one_of(self, names: Sequence[str]) -> str:
        """What is to be broken."""
        return self.random.choice(names)

    def value(self, value: Any) -> Any:
        """A JSON value with one to three places broken; what is not broken is shared with the original."""
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            value = self._broken(value)
        return value

    def _broken(self, value: Any) -> Any:
        path = self.random.choice(_paths(value))
        return _with(value, path, self._change)

    def _change(self, old: Any) -> Any:
        if isinstance(old, dict) and old and self.random.random() < 0.6:
            key = self.random.choice(sorted(old))
            rest = {name: each for name, each in old.items() if name != key}
            return self.random.choice((rest, {**rest, str(self.odd()): old[key]}, {**old, str(self.odd()): self.odd()}))
        if isinstance(old, list) and old and self.random.random() < 0.6:
            return self.random.choice((old[1:], [*old, self.odd()], [self.odd(), *old], old * 2, [old]))
        if isinstance(old, str) and self.random.random() < 0.5:
            return self.text(old)
        return self.odd()

    def text(self, text: str) -> str:
        """A text with one to three places broken."""
        for _ in range(self.random.choice((1, 1, 2, 3))):
            at = self.random.randint(0, len(text))
            until = min(len(text), at + self.random.choice((0, 0, 1, 4, 40)))
            text = text[:at] + self.random.choice(SNIPPETS) + text[until:]
        return text

    def lines(self, text: str) -> str:
        """`key=value` lines, some with another value, gone, doubled or broken."""
        lines = text.splitlines()
        for _ in range(self.random.choice((1, 1, 2, 3))):
            if not lines:
                break
            at = self.random.randrange(len(lines))
            key, equals, _ = lines[at].partition("=")
            odd = str(self.odd())
            lines[at : at + 1] = self.random.choice(
                ([], [lines[at], lines[at]], [f"{key}{equals}{odd}"], [f"{key}{equals}"], [key], [self.text(lines[at])])
            )
        return "\n".join(lines)

    def json_text(self, text: str) -> str:
        """A JSON text, broken as a value or as a text."""
        if self.random.random() < 0.3:
            return self.text(text)
        return json.dumps(self.value(json.loads(text)))

    def bytes(self, data: bytes) -> bytes:
        """Bytes with one to three of them others."""
        broken = bytearray(data)
        for _ in range(self.random.choice((1, 2, 3))):
            at = self.random.randint(0, len(broken))
            broken[at : at + self.random.choice((0, 1, 1, 8))] = self.random.choice(
                (
                    b"\0",
                    b"\xff",
                    b"\x80",
                    b"\xed\xa0\x80",
                    b"-----BEGIN",
                    b"\n",
                    b"A" * 64,
                    bytes([self.random.randrange(256)]),
                )
            )
        return bytes(broken)


class Untouched(Mutator):
    """Leaves everything as it is."""

    def one_of(self, names: Sequence[str]) -> str:
        return ""

    def value(self, value: Any) -> Any:
        return value

    def text(self, text: str) -> str:
        return text

    def lines(self, text: str) -> str:
        return text

    def bytes(self, data: bytes) -> bytes:
        return data


Path = tuple[str | int, ...]


def _paths(value: Any, at: Path = ()) -> Sequence[Path]:
    """Every place in a value, the value itself first."""
    found: list[Path] = [at]
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in below:
        if len(at) < 12:
            found += _paths(each, (*at, key))
    return found


def _with(value: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(value)
    key, rest = path[0], path[1:]
    copied: Any = dict(value) if isinstance(value, dict) else list(value)
    copied[key] = _with(value[key], rest, change)
    return copied
