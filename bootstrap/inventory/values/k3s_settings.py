"""The kind of value that is settings in k3s's own keys: `k3s.server_config`, `k3s.agent_config`, a pool's `k3s`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bootstrap.inventory.document import Broken, Mapping, Node, Scalar, Sequence, is_null
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.values.containers import NODE_WORDS, place_of
from bootstrap.inventory.values.scalars import Json, RefusedError
from bootstrap.k3s.pass_through.flags import AGENT_FLAGS, ALIASES, FLAGS, RESERVED, SERVER_FLAGS, bare
from bootstrap.model.machine import K3sSettings
from bootstrap.model.words import did_you_mean

_KEY: Final = r"[a-z][a-z0-9-]*\+?"
_TEXT: Final = r"(?!--)[^\x00-\x1f\x7f]+"
"""Not with dashes before it: k3s reports its settings as a command line, in which it would look like a flag."""


@dataclass(frozen=True, kw_only=True)
class K3sConfig:
    """Settings in k3s's own keys, each a single value or a list of them; `key+` adds to a list.

    Attributes:
        for_servers: They are for servers alone, so that all that `k3s server` takes may be there.
    """

    for_servers: bool

    def words(self) -> str:
        """See `Kind`."""
        return f"a mapping of settings of `k3s {'server' if self.for_servers else 'agent'}` to a value or a list"

    def read(self, node: Node, where: Where, problems: Problems) -> K3sSettings | None:
        """See `Kind`. Keys that k3s v1.36 does not know pass (`notes_on_unknown`)."""
        if isinstance(node, Broken):
            return None
        if not isinstance(node, Mapping):
            hint = "such as {kubelet-arg: [max-pods=200]}"
            problems.add(where, f"must be a mapping, not {NODE_WORDS[type(node)]}", hint)
            return None
        found: list[tuple[str, tuple[str, ...]]] = []
        for name, child in node.entries.items():
            if isinstance(child, Broken):
                continue
            try:
                self._check_key(name, node)
                found.append((name, _values(name, child)))
            except RefusedError as refused:
                problems.add(place_of(where, name, child), refused.message, refused.hint)
        return tuple(found) if len(found) == len(node.entries) else None

    def schema(self) -> Json:
        """See `Kind`."""
        single: Json = {"type": ["string", "boolean", "number"]}
        return {
            "type": "object",
            "propertyNames": {"pattern": f"^{_KEY}$"},
            "additionalProperties": {"anyOf": [single, {"type": "array", "items": single}]},
        }

    def _check_key(self, name: str, node: Mapping) -> None:
        key = ALIASES.get(bare(name), bare(name))
        if key in RESERVED:
            raise RefusedError(f"{key} is set by homelab-k8s", RESERVED[key])
        if key != bare(name):
            raise RefusedError("is a short name", f"write {key}")
        if not re.fullmatch(_KEY, name):
            raise RefusedError("is not a key of k3s", did_you_mean(name.replace("_", "-"), FLAGS))
        if not self.for_servers and key in SERVER_FLAGS.keys() - AGENT_FLAGS.keys():
            raise RefusedError("is a setting of servers only", "move it to k3s.server_config")
        if self.for_servers and key in AGENT_FLAGS.keys() - SERVER_FLAGS.keys():
            raise RefusedError("is a setting of agents only", "move it to k3s.agent_config, or to k3s of a pool")
        if name != key and key in node.entries:
            raise RefusedError(f"{key} is there already", "put all its values into one list")


def _values(name: str, node: Node) -> tuple[str, ...]:
    kind = FLAGS.get(bare(name))
    if isinstance(node, Mapping):
        raise RefusedError("must be a single value or a list, not a mapping")
    is_list = isinstance(node, Sequence)
    if kind in ("", "!") and (is_list or name.endswith("+")):
        raise RefusedError("k3s takes one value", f"write {bare(name)}: VALUE")
    values = tuple(map(_text, node.items if isinstance(node, Sequence) else (node,)))
    if kind == "!" and not set(values) <= {"true", "false"}:
        raise RefusedError("must be true or false")
    return values


def _text(node: Node) -> str:
    """A single value as text. A plain 0644 stays that, where YAML 1.1, as k3s reads it, makes 420 of it."""
    if not isinstance(node, Scalar):
        raise RefusedError("must be a list of single values")
    if is_null(node) or not node.text:
        raise RefusedError("has no value", "give one, or leave the key out")
    if node.text.startswith("--"):
        raise RefusedError("must not begin with dashes", f"write {node.text.lstrip('-')}")
    if not re.fullmatch(_TEXT, node.text):
        raise RefusedError("must be on one line, without control characters")
    if node.plain and node.tag == "bool" and node.text not in ("true", "false"):
        raise RefusedError(f"YAML takes {node.text} for a boolean", f'write true or false, or quote it: "{node.text}"')
    return node.text
