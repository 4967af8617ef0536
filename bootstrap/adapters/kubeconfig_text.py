"""Merging kubeconfigs as YAML node graphs, so that what is not ours stays as it is written.

Loading to plain values and dumping them would rewrite `no`, dates and quoting of entries that belong to others.
Comments are lost all the same; the backup has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from bootstrap.errors import HomelabError
from bootstrap.model.reading_yaml import YAML_ERRORS

MAX_DEPTH = 32
SECTIONS = ("clusters", "users", "contexts")

T = TypeVar("T", bound=Node)


def merge_text(existing: str, ours: str, *, name: str, source: str) -> str:
    """An existing kubeconfig with our cluster, user and context put in or replaced, and our context current.

    Args:
        existing: YAML text; may be empty.
        ours: A kubeconfig with one cluster, user and context, whatever they are called there.
        name: What they are called in the result.
        source: What `existing` is, for error texts.

    Returns:
        The new text; `existing` itself where nothing changes.

    Raises:
        HomelabError: One of the two is no kubeconfig.
    """
    root = _root(existing, source) or _new_root()
    added = _root(ours, "the cluster's own kubeconfig")
    before = _plain(existing)
    for section in SECTIONS:
        entries = _section(root, section, source)
        entry = _only_entry(added, section)
        if section == "contexts":
            entry = _context(name, kept=_find(entries, name))
        _set(entry, "name", _text(name))
        _replace(entries, name, entry)
    _set(root, "current-context", _text(name))
    text = _serialized(root)
    return existing if _plain(text) == before else text


def remove_text(existing: str, *, name: str, source: str) -> str | None:
    """An existing kubeconfig without our entries, or None where it has none of them.

    Raises:
        HomelabError: It is no kubeconfig.
    """
    root = _root(existing, source)
    if root is None:
        return None
    removed = False
    for section in SECTIONS:
        if _get(root, section, Node) is None:
            continue
        entries = _section(root, section, source)
        kept = [entry for entry in entries.value if _name_of(entry) != name]
        removed = removed or len(kept) < len(entries.value)
        entries.value = kept
    current = _get(root, "current-context", ScalarNode)
    if current is not None and current.value == name:
        _set(root, "current-context", _text(""))
        removed = True
    return _serialized(root) if removed else None


def has_entry(existing: str, *, name: str, source: str) -> bool:
    """Whether a kubeconfig has a cluster, user or context of this name. Raises HomelabError as `remove_text`."""
    return remove_text(existing, name=name, source=source) is not None


def authority_of(existing: str, *, name: str, source: str) -> str | None:
    """The CA (base64) of a cluster in a kubeconfig, which tells one cluster of a name from another; None without.

    Raises:
        HomelabError: It is no kubeconfig.
    """
    root = _root(existing, source)
    entries = _get(root, "clusters", SequenceNode) if root is not None else None
    entry = _find(entries, name) if entries is not None else None
    cluster = _get(entry, "cluster", MappingNode) if entry is not None else None
    authority = _get(cluster, "certificate-authority-data", ScalarNode) if cluster is not None else None
    return None if authority is None else str(authority.value)


def is_empty(existing: str, *, source: str) -> bool:
    """Whether a kubeconfig has no clusters, users and contexts. Raises HomelabError where it is none."""
    root = _root(existing, source)
    return root is None or not any(_section(root, section, source).value for section in SECTIONS)


def _root(text: str, source: str) -> MappingNode | None:
    def broken(problem: str) -> HomelabError:
        return HomelabError(
            f"{source} is not a kubeconfig",
            details=problem,
            resolution="it was left as it is; mend or move it, or use another one (--kubeconfig FILE)",
        )

    try:
        root = yaml.compose(text)
        # Composing alone does not look at what scalars hold, nor for keys that cannot be keys.
        yaml.safe_load(text)
    except YAML_ERRORS as error:
        raise broken(str(error) or type(error).__name__) from error
    if root is not None and _is_deep(root, MAX_DEPTH, {}):
        raise broken(f"it is nested deeper than {MAX_DEPTH} levels")
    if root is None or (isinstance(root, ScalarNode) and root.tag.endswith(":null")):
        return None
    if not isinstance(root, MappingNode):
        raise broken("its top level is not a mapping")
    return root


def _is_deep(node: Node, left: int, known: dict[tuple[int, int], bool]) -> bool:
    """Whether a node has more than `left` levels; with aliases in each other it has no end."""
    key = (id(node), left)
    if key not in known:
        below = node.value if isinstance(node, SequenceNode) else ()
        if isinstance(node, MappingNode):
            below = [each for pair in node.value for each in pair]
        known[key] = left == 0 or any(_is_deep(each, left - 1, known) for each in below)
    return known[key]


def _serialized(root: Node) -> str:
    # No line is broken: keys and certificates stay as one word each, and others' text as it was.
    return str(yaml.serialize(root, width=1 << 30, allow_unicode=True))


def _plain(text: str) -> object:
    return yaml.safe_load(text)


def _new_root() -> MappingNode:
    root = _mapping()
    for key, value in (("apiVersion", "v1"), ("kind", "Config")):
        _set(root, key, _text(value))
    for section in SECTIONS:
        _set(root, section, _list())
    return root


def _section(root: MappingNode, section: str, source: str) -> SequenceNode:
    entries = _get(root, section, Node)
    if entries is None or (isinstance(entries, ScalarNode) and entries.tag.endswith(":null")):
        # kubectl writes `clusters: null` (or leaves the key out) where there is none.
        entries = _list()
        _set(root, section, entries)
    if not isinstance(entries, SequenceNode) or not all(isinstance(entry, MappingNode) for entry in entries.value):
        raise HomelabError(
            f"{source} is not a kubeconfig",
            details=f"its {section} are not a list of entries",
            resolution="it was left as it is; mend or move it, or use another one (--kubeconfig FILE)",
        )
    if not entries.value:
        entries.flow_style = False
    return entries


def _only_entry(root: MappingNode | None, section: str) -> MappingNode:
    entries = _get(root, section, SequenceNode) if root is not None else None
    if entries is None or len(entries.value) != 1 or not isinstance(entries.value[0], MappingNode):
        raise HomelabError("the cluster's own kubeconfig is not as expected", details=f"it has not one of {section}")
    return entries.value[0]


def _context(name: str, *, kept: MappingNode | None) -> MappingNode:
    """Our context; a namespace and the like that the user chose for it stay."""
    inner = _get(kept, "context", MappingNode) if kept is not None else None
    if kept is None or inner is None:
        kept = _mapping()
        inner = _mapping()
        _set(kept, "context", inner)
    _set(inner, "cluster", _text(name))
    _set(inner, "user", _text(name))
    return kept


def _find(entries: SequenceNode, name: str) -> MappingNode | None:
    return next((entry for entry in entries.value if _name_of(entry) == name), None)


def _replace(entries: SequenceNode, name: str, entry: MappingNode) -> None:
    same = [index for index, other in enumerate(entries.value) if _name_of(other) == name]
    if same:
        entries.value[same[0]] = entry
        entries.value = [other for index, other in enumerate(entries.value) if index not in same[1:]]
    else:
        entries.value.append(entry)


def _name_of(entry: Node) -> str | None:
    name = _get(entry, "name", ScalarNode)
    return None if name is None else str(name.value)


def _get(mapping: Node, key: str, kind: Callable[..., T]) -> T | None:
    if isinstance(mapping, MappingNode):
        for name, value in mapping.value:
            if name.value == key and isinstance(value, kind):  # type: ignore[arg-type]
                return value  # type: ignore[no-any-return]
    return None


def _set(mapping: MappingNode, key: str, value: Node) -> None:
    for index, (name, _) in enumerate(mapping.value):
        if name.value == key:
            mapping.value[index] = (name, value)
            return
    mapping.value.append((_text(key), value))


def _mapping() -> MappingNode:
    return MappingNode("tag:yaml.org,2002:map", [], flow_style=False)


def _list() -> SequenceNode:
    return SequenceNode("tag:yaml.org,2002:seq", [], flow_style=False)


def _text(value: str) -> ScalarNode:
    # Quoted where plain text would be read as a number or the like: a cluster may be called `no` or `1e3`.
    node = yaml.compose(yaml.safe_dump(value))
    if not isinstance(node, ScalarNode):
        raise TypeError(f"{value!r} is no scalar")
    return node
