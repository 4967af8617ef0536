"""The kinds of values that an add-on in `manifests` has: its name, and the values that it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from typing import Any, Final

from bootstrap.addons import addon_names
from bootstrap.inventory.document import Broken, Mapping, Node, Scalar, Sequence, is_null
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.values.containers import NODE_WORDS, place_of
from bootstrap.inventory.values.scalars import Json, RefusedError
from bootstrap.model.words import did_you_mean

_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}\.[0-9]{1,9}")


@dataclass(frozen=True, kw_only=True)
class AddonName:
    """The name of one of our add-ons."""

    def words(self) -> str:
        """See `Kind`."""
        return f"one of {', '.join(addon_names())}"

    def read(self, node: Node, where: Where, problems: Problems) -> str | None:
        """See `Kind`."""
        if isinstance(node, Broken):
            return None
        if not isinstance(node, Scalar) or is_null(node):
            problems.add(where, "must be the name of an add-on", self.words())
            return None
        if node.text not in addon_names():
            problems.add(where, f"there is no add-on {node.text[:60]!r}", self._meant(node.text))
            return None
        return node.text

    def _meant(self, text: str) -> str:
        return did_you_mean(text, addon_names()) or self.words()

    def schema(self) -> Json:
        """See `Kind`."""
        return {"type": "string", "enum": list(addon_names())}


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a user gives an add-on.

    Attributes:
        values: As JSON.
        lines: The line of each value, by its key.
    """

    values: Map[str, Any]
    lines: Map[str, int | None] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, kw_only=True)
class AddonValues:
    """A mapping of values, of any kind; which keys an add-on takes is checked with the add-on."""

    def words(self) -> str:
        """See `Kind`."""
        return "a mapping of the add-on's own keys"

    def read(self, node: Node, where: Where, problems: Problems) -> Given | None:
        """See `Kind`."""
        if isinstance(node, Broken):
            return None
        if not isinstance(node, Mapping):
            problems.add(
                where, f"must be a mapping, not {NODE_WORDS[type(node)]}", "its keys are in the add-on's README"
            )
            return None
        before = len(problems)
        found = _value(node, where, problems)
        lines = {name: child.line for name, child in node.entries.items()}
        return Given(values=found, lines=lines) if len(problems) == before else None

    def schema(self) -> Json:
        """See `Kind`."""
        return {"type": "object"}


def _value(node: Node, where: Where, problems: Problems) -> Any:  # noqa: ANN401 - JSON of any shape
    """A node as JSON; texts that YAML 1.1 takes for something else keep to what people mean."""
    if isinstance(node, Mapping):
        return {name: _value(child, place_of(where, name, child), problems) for name, child in node.entries.items()}
    if isinstance(node, Sequence):
        return [_value(child, where.item(index, child.line), problems) for index, child in enumerate(node.items)]
    if isinstance(node, Scalar):
        try:
            return _scalar(node)
        except RefusedError as refused:
            problems.add(where, refused.message, refused.hint)
    return None


def _scalar(node: Scalar) -> Any:  # noqa: ANN401
    text = node.text
    if not node.plain:
        return text
    if is_null(node):
        return None
    if node.tag == "bool":
        if text not in ("true", "false"):
            raise RefusedError(f"YAML takes {text} for a boolean", f'write true or false, or quote it: "{text}"')
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
