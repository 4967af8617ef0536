"""The YAML of manifests: blocks, `|` and `>` texts, flows on one line; no anchors, tags or keys with `?`."""

from __future__ import annotations

import json
import re
from typing import Any

_KEY = re.compile(r"""(?:'(?P<single>(?:[^']|'')*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s'"\[\]{}#&*!|>%@`,](?:[^#]|(?<=\S)#)*?)):(?:\s+(?P<value>\S.*))?$""")  # fmt: skip  # noqa: E501
_BLOCK = re.compile(r"([|>])([+-]?)([1-9]?)([+-]?)\s*(#.*)?$")
_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)$")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$")
_FLOW = re.compile(r"""\s*('(?:[^']|'')*'|"(?:[^"\\]|\\.)*"|[\[\]{},]|:(?=\s|$)|(?:[^\s\[\]{},:'"]|:(?=\S)|\s+(?=[^\s\[\]{},:]))+)""")  # fmt: skip  # noqa: E501
_WORDS = {"": None, "~": None, "null": None, "true": True, "yes": True, "on": True, "false": False, "no": False,
          "off": False}  # fmt: skip


def read_documents(text: str) -> list[Any]:
    """All documents of a file, without empty ones. Raises ValueError for what is not read here."""
    found = [_Reader(part).document() for part in re.split(r"(?m)^---(?:[ \t].*)?$", text)]
    return [each for each in found if each is not None]


class _Reader:
    """Reads one document line by line."""

    def __init__(self, text: str) -> None:
        self.lines = [line.rstrip() for line in text.splitlines()]
        self.at = 0

    def document(self) -> Any:
        if self._peek() is None:
            return None
        value = self._node()
        rest = self._peek()
        if rest is not None:
            raise ValueError(f"yaml: did not expect {rest[1]!r}")
        return value

    def _peek(self) -> tuple[int, str] | None:
        """The next line that says something: its indent and its text."""
        while self.at < len(self.lines):
            line = self.lines[self.at]
            text = line.lstrip()
            if text and not text.startswith("#") and line != "...":
                if line[: len(line) - len(text)].strip(" "):
                    raise ValueError("yaml: found character that cannot start any token")
                return len(line) - len(text), text
            self.at += 1
        return None

    def _node(self) -> Any:
        indent, text = self._peek() or (0, "")
        if text == "-" or text.startswith("- "):
            return self._items(indent)
        if _KEY.match(text):
            return self._entries(indent)
        self.at += 1
        return read_value(text)

    def _items(self, indent: int) -> list[Any]:
        items = []
        while (line := self._peek()) and line[0] == indent and (line[1] == "-" or line[1].startswith("- ")):
            rest = line[1][1:].lstrip()
            if not rest:
                self.at += 1
                items.append(self._below(indent + 1))
            elif _KEY.match(rest) or rest.startswith("- "):
                # What follows the dash is a block of its own, indented as far as it stands there.
                self.lines[self.at] = " " * (indent + len(line[1]) - len(rest)) + rest
                items.append(self._node())
            else:
                items.append(self._value(rest, indent))
        return items

    def _entries(self, indent: int) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        while (line := self._peek()) and line[0] == indent:
            found = _KEY.match(line[1])
            if found is None:
                raise ValueError(f"yaml: could not find expected ':' in {line[1]!r}")
            key = _key(found)
            if key in tree:
                raise ValueError(f"yaml: mapping key {key!r} already defined")
            value = re.sub(r"^#.*", "", found["value"] or "")
            if value:
                tree[key] = self._value(value, indent)
                continue
            self.at += 1
            below = self._peek()
            starts = below is not None and below[0] == indent and (below[1] == "-" or below[1].startswith("- "))
            tree[key] = self._items(indent) if starts else self._below(indent + 1)
        return tree

    def _below(self, least: int) -> Any:
        line = self._peek()
        return self._node() if line is not None and line[0] >= least else None

    def _value(self, text: str, indent: int) -> Any:
        block = _BLOCK.match(text)
        self.at += 1
        return read_value(text) if block is None else self._text(block, indent)

    def _text(self, block: re.Match[str], indent: int) -> str:
        """The lines of a literal or folded text."""
        lines: list[str] = []
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.strip() and len(line) - len(line.lstrip(" ")) <= indent:
                break
            lines.append(line)
            self.at += 1
        first = next((line for line in lines if line.strip()), "")
        margin = indent + int(block[3]) if block[3] else len(first) - len(first.lstrip(" "))
        cut = [line[margin:] for line in lines]
        text = "\n".join(cut).rstrip("\n")
        if block[1] == ">":
            text = re.sub(r"(?<!\n)\n(?![\n ])", " ", text)
        chomp = block[2] or block[4]
        return text + ("" if chomp == "-" or not text else "\n")


def _key(found: re.Match[str]) -> str:
    if found["single"] is not None:
        return found["single"].replace("''", "'")
    if found["double"] is not None:
        return str(json.loads(f'"{found["double"]}"'))
    return str(found["plain"])


def read_value(text: str) -> Any:
    """A scalar, or a flow on one line, without its trailing comment."""
    if text[:1] in "[{":
        tokens = [each for each in _FLOW.findall(text) if each.strip()]
        value = _flow(tokens)
        if tokens and not tokens[0].startswith("#"):
            raise ValueError(f"yaml: did not expect {tokens[0]!r}")
        return value
    if text[:1] in ("'", '"'):
        found = re.match(r"""('(?:[^']|'')*'|"(?:[^"\\]|\\.)*")\s*(#.*)?$""", text)
        if found is None:
            raise ValueError(f"yaml: unfinished quoted text: {text!r}")
        return _quoted(found[1])
    return _plain(re.sub(r"\s+#.*$", "", text))


def _quoted(text: str) -> str:
    return text[1:-1].replace("''", "'") if text[0] == "'" else str(json.loads(text))


def _plain(text: str) -> Any:
    if text[:1] in ("&", "*", "!", "|", ">", "%", "@", "`"):
        raise ValueError(f"yaml: the stand-in does not read {text!r}")
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _NUMBER.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text


def _flow(tokens: list[str]) -> Any:
    """What the tokens begin with; takes it from them."""
    token = _take(tokens)
    if token == "[":
        return _flow_list(tokens)
    if token == "{":
        return _flow_map(tokens)
    return _quoted(token) if token[:1] in ("'", '"') else _plain(token)


def _take(tokens: list[str]) -> str:
    if not tokens:
        raise ValueError("yaml: unfinished flow")
    return tokens.pop(0).strip()


def _flow_list(tokens: list[str]) -> list[Any]:
    items = []
    while tokens and tokens[0] != "]":
        items.append(_flow(tokens))
        if tokens and tokens[0] == ",":
            tokens.pop(0)
    _take(tokens)
    return items


def _flow_map(tokens: list[str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    while tokens and tokens[0] != "}":
        key = _flow(tokens)
        if _take(tokens) != ":":
            raise ValueError("yaml: could not find expected ':'")
        tree[str(key)] = None if tokens and tokens[0] in (",", "}") else _flow(tokens)
        if tokens and tokens[0] == ",":
            tokens.pop(0)
    _take(tokens)
    return tree
