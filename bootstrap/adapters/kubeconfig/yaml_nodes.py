"""YAML as node graphs, so that entries of others are kept as they are written.

Loading plain values and dumping them would rewrite `no`, dates and quoting of other entries, and fail at a bare `=`.
Comments are lost; the backup has them. The parser is libyaml where PyYAML has it: kubectl's is a port of it, and reads
tabs, which PyYAML's own does not.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from bootstrap.errors import HomelabError
from bootstrap.model.reading_yaml import MAX_DEPTH, YAML_ERRORS, check_nesting, too_deep

_LOADER = getattr(yaml, "CLoader", yaml.Loader)

T = TypeVar("T", bound=Node)


def not_a_kubeconfig(source: str, problem: str) -> HomelabError:
    """The error for a text, `source`, that is not a kubeconfig."""
    return HomelabError(
        f"{source} is not a kubeconfig",
        details=problem,
        resolution="it was not changed; fix or move it, or use another file (--kubeconfig FILE)",
    )


def read_root(text: str, source: str) -> MappingNode | None:
    """The top level of a YAML (or JSON) text; None if it is empty. Raises HomelabError where it is no mapping."""
    try:
        check_nesting(text)
        root = yaml.compose(text, Loader=_LOADER)
    except YAML_ERRORS as error:
        raise not_a_kubeconfig(source, str(error) or type(error).__name__) from error
    if root is not None and _is_deep(root, MAX_DEPTH, {}):
        raise not_a_kubeconfig(source, too_deep())
    if root is None or is_null(root):
        return None
    if not isinstance(root, MappingNode):
        raise not_a_kubeconfig(source, "its top level is not a mapping")
    return root


def serialized(root: Node) -> str:
    """A node graph as text."""
    # No line breaks: keys and certificates stay one word each, and other text as it was.
    return str(yaml.serialize(root, width=1 << 30, allow_unicode=True))


def is_null(node: Node) -> bool:
    """Whether a node is YAML's null."""
    return isinstance(node, ScalarNode) and node.tag.endswith(":null")


def get(mapping: Node | None, key: str, kind: type[T]) -> T | None:
    """A mapping's value, its own or one that it merges in (`<<: *other`), if it is of a kind."""
    found = _look_up(mapping, key, set())
    return found if isinstance(found, kind) else None


def word(mapping: Node | None, key: str) -> str:
    """A mapping's text value; empty where there is none."""
    found = get(mapping, key, ScalarNode)
    return "" if found is None or is_null(found) else str(found.value)


def put(mapping: MappingNode, key: str, value: Node) -> None:
    """Set a mapping's own value; an equal text keeps its style."""
    there = get(mapping, key, ScalarNode)
    if there is not None and isinstance(value, ScalarNode) and (there.tag, there.value) == (value.tag, value.value):
        return
    pairs = [(name, other) for name, other in mapping.value if not _is_key(name, key)]
    index = next((index for index, (name, _) in enumerate(mapping.value) if _is_key(name, key)), len(pairs))
    pairs.insert(index, (text_node(key), value))
    mapping.value = pairs


def drop(mapping: MappingNode, keys: Collection[str]) -> None:
    """Remove a mapping's own values."""
    mapping.value = [pair for pair in mapping.value if not any(_is_key(pair[0], key) for key in keys)]


def copied(mapping: MappingNode | None) -> MappingNode:
    """A copy of a mapping, to be changed: the original may have aliases."""
    if mapping is None:
        return MappingNode("tag:yaml.org,2002:map", [], flow_style=False)
    return MappingNode(mapping.tag, list(mapping.value), flow_style=mapping.flow_style)


def sequence(entries: Collection[Node], *, like: Node | None = None) -> SequenceNode:
    """A list; in the style of another one."""
    flow = like.flow_style if isinstance(like, SequenceNode) and like.value else False
    return SequenceNode("tag:yaml.org,2002:seq", list(entries), flow_style=flow)


def text_node(value: str) -> ScalarNode:
    """A text, quoted where it would be read as a number or the like: a cluster may be called `no` or `1e3`."""
    node = yaml.compose(yaml.safe_dump(value), Loader=_LOADER)
    if not isinstance(node, ScalarNode):
        raise TypeError(f"{value!r} is no scalar")
    return node


def _is_deep(node: Node, left: int, known: dict[tuple[int, int], bool]) -> bool:
    """Whether a node has more than `left` levels; circular aliases have no end."""
    key = (id(node), left)
    if key not in known:
        below = node.value if isinstance(node, SequenceNode) else ()
        if isinstance(node, MappingNode):
            below = [each for pair in node.value for each in pair]
        known[key] = left == 0 or any(_is_deep(each, left - 1, known) for each in below)
    return known[key]


def _look_up(mapping: Node | None, key: str, seen: set[int]) -> Node | None:
    if not isinstance(mapping, MappingNode) or id(mapping) in seen:
        return None
    seen.add(id(mapping))
    for name, value in mapping.value:
        if _is_key(name, key):
            return value  # type: ignore[no-any-return]
    for name, value in mapping.value:
        if name.tag == "tag:yaml.org,2002:merge":
            for source in value.value if isinstance(value, SequenceNode) else (value,):
                found = _look_up(source, key, seen)
                if found is not None:
                    return found
    return None


def _is_key(name: Node, key: str) -> bool:
    return isinstance(name, ScalarNode) and name.value == key
