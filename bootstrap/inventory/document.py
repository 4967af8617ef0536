"""YAML text -> a tree in which every value has its line. Stricter than YAML 1.1.

Built from the parser's events, since PyYAML's constructor silently accepts duplicate keys, and turns `no` into False,
`010` into 8 and `1:30` into 90. Here scalars keep their text, and their readers decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast

import yaml
from yaml.resolver import Resolver

from bootstrap.inventory.problems import Problems, Where, shown

MAX_DEPTH: Final = 16
_TAG_PREFIX: Final = "tag:yaml.org,2002:"
_EVENTS: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, four times as fast, where PyYAML was built with it."""


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """One value.

    Attributes:
        text: As written.
        tag: Its type in YAML 1.1: str, bool, int, float, null, timestamp, ...
        plain: Written without quotes, so that YAML guesses its type.
        line: From 1, or None for a value that is not from the file.
        origin: Flag or environment variable it comes from, or empty.
    """

    text: str
    tag: str = "str"
    plain: bool = False
    line: int | None = None
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """Keys and values; `lines` has each key's own line."""

    entries: dict[str, Node] = field(default_factory=dict)
    lines: dict[str, int | None] = field(default_factory=dict)
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class Broken:
    """Something whose problem is noted already."""

    line: int | None = None


Node: TypeAlias = Scalar | Sequence | Mapping | Broken


def is_null(node: Node) -> bool:
    """Whether it is empty, or YAML's null."""
    return isinstance(node, Scalar) and node.plain and node.tag == "null"


def compose(text: str, problems: Problems) -> Node:
    """The tree of the only document in a text.

    Args:
        text: YAML.
        problems: Collects syntax errors (which end the reading), duplicate keys, aliases, tags.
    """
    try:
        return _Composer(yaml.parse(text, Loader=_EVENTS), problems).document()
    except yaml.YAMLError as error:
        message, line = _explain(error, text)
        problems.add(Where(path="", line=line), message, "nothing after it could be read")
        return Broken()


class _Composer:
    """Recursive descent over the parser's events."""

    def __init__(self, events: Iterator[yaml.Event], problems: Problems) -> None:
        self._events = events
        self._problems = problems
        self._resolver = Resolver()

    def document(self) -> Node:
        next(self._events)
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            self._problems.add(Where(path="", line=1), "the file is empty", "begin with `cluster: NAME`")
            return Broken()
        node = self._node(next(self._events), Where(path=""), 0)
        next(self._events)
        event = next(self._events)
        if isinstance(event, yaml.DocumentStartEvent):
            where = Where(path="", line=_line(event))
            self._problems.add(where, "a second document begins here", "one file, one cluster: remove the `---`")
        return node

    def _node(self, event: yaml.Event, where: Where, depth: int) -> Node:
        line = where.line or _line(event)
        if depth > MAX_DEPTH:
            raise _TooDeepError(None, None, f"nested deeper than {MAX_DEPTH} levels", _mark(event))
        if isinstance(event, yaml.AliasEvent):
            where = Where(path=where.path, line=_line(event))
            self._problems.add(where, f"*{event.anchor} is an alias", "aliases are not supported: write the value out")
            return Broken(line=_line(event))
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, Where(path=where.path, line=_line(event)))
        if not isinstance(event, yaml.CollectionStartEvent):
            raise TypeError(f"libyaml sent {event!r} where a value begins")
        explicit = self._tag_refused(event, Where(path=where.path, line=line))
        is_list = isinstance(event, yaml.SequenceStartEvent)
        node = self._sequence(where, line, depth) if is_list else self._mapping(where, line, depth)
        return Broken(line=line) if explicit else node

    def _scalar(self, event: yaml.ScalarEvent, where: Where) -> Node:
        plain, quoted = event.implicit
        if event.tag == f"{_TAG_PREFIX}str":
            return Scalar(text=event.value, line=where.line)
        if self._tag_refused(event, where):
            return Broken(line=where.line)
        tag: str = self._resolver.resolve(yaml.ScalarNode, event.value, (plain, quoted))  # type: ignore[no-untyped-call]
        return Scalar(text=event.value, tag=tag.removeprefix(_TAG_PREFIX), plain=plain, line=where.line)

    def _tag_refused(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, where: Where) -> bool:
        if event.tag is None or event.tag == "!":
            return False
        self._problems.add(where, "has a YAML tag", "tags (`!x`, `!!x`) are not supported: remove it")
        return True

    def _sequence(self, where: Where, line: int, depth: int) -> Sequence:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, where.item(len(items), None), depth + 1))
        return Sequence(items=tuple(items), line=line)

    def _mapping(self, where: Where, line: int, depth: int) -> Mapping:
        found = Mapping(line=line)
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key_line = _line(event)
            key = self._key(event, where, depth)
            value_event = next(self._events)
            is_open = not isinstance(value_event, yaml.ScalarEvent)
            at = where.key(key if key is not None else "?", key_line if is_open else None)
            value = self._node(value_event, at, depth + 1)
            if key is None:
                continue
            if key in found.entries:
                message = f"is repeated, first in line {found.lines[key]}"
                self._problems.add(Where(path=at.path, line=key_line), message, "keep only one of them")
                continue
            found.entries[key] = value
            found.lines[key] = key_line
        return found

    def _key(self, event: yaml.Event, where: Where, depth: int) -> str | None:
        node = self._node(event, where, depth + 1)
        if isinstance(node, Broken):
            return None
        at = Where(path=where.path, line=_line(event))
        if not isinstance(node, Scalar):
            self._problems.add(at, "a key must not be a list or a mapping", "keys are words")
            return None
        if node.plain and node.tag == "merge":
            self._problems.add(at, "`<<` merges are not supported", "write the keys out")
            return None
        if node.plain and node.tag != "str":
            self._problems.add(
                at, f"YAML takes the key {shown(node.text)} for a {node.tag}", f'quote it: "{node.text}"'
            )
            return None
        return node.text


class _TooDeepError(yaml.MarkedYAMLError):
    """Reported as a syntax error, which ends the reading: no inventory is nested so deeply."""


def _mark(event: yaml.Event) -> yaml.Mark:
    return cast(yaml.Mark, event.start_mark)


def _line(event: yaml.Event) -> int:
    return int(_mark(event).line) + 1


def _explain(error: yaml.YAMLError, text: str) -> tuple[str, int | None]:
    """The parser's error in plain words; it never quotes the text, which may have a secret."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"a control character (U+{int(error.character):04X}) is not allowed", line
    mark = getattr(error, "problem_mark", None)
    if not isinstance(error, yaml.MarkedYAMLError) or mark is None:
        return "this is not YAML", None
    lines = text.splitlines()
    line = mark.line + 1
    if _has_tab(lines[mark.line] if mark.line < len(lines) else "", mark.column):
        return "a tab where YAML wants spaces", line
    said = error.problem or "this is not YAML"
    if isinstance(error, _TooDeepError):
        return said, line
    if said.startswith("mapping values are not allowed"):
        return "a colon where no key can be: quote the value, or fix the indentation", line
    context = f" ({error.context})" if error.context else ""
    return f"not YAML: {said}{context}", min(line, max(len(lines), 1))


def _has_tab(written: str, column: int) -> bool:
    """Whether a line is indented with tabs, or has one at a column."""
    indentation = written[: len(written) - len(written.lstrip())]
    return "\t" in indentation or written[column : column + 1] == "\t"
