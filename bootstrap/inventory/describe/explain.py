"""The help for one key of the inventory, from the parser's table. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from bootstrap.errors import UsageError
from bootstrap.inventory.describe.reference import on_one_line
from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.values.containers import ListOf, MapOf
from bootstrap.inventory.values.section import Key, Section, section_of
from bootstrap.model.words import did_you_mean

_WORD = re.compile(r"[^.\[\]]+")


def explain(key: str) -> str:
    """What a key means, its value, default and example, and the keys below it.

    Args:
        key: Its path as in problems: `control_plane.cores`, `network.dns[1]`, `pools.gpu.count`; empty for all.

    Raises:
        UsageError: There is no such key; `resolution` has similar ones.
    """
    section: type[Section] | None = Root
    field: Key[Any] | None = None
    kind: object = Root
    path = ""
    for word in _WORD.findall(key):
        if isinstance(kind, MapOf):
            kind, path = kind.value, f"{path}.{word}"
        elif isinstance(kind, ListOf) and word.isdigit():
            kind, path = kind.item, f"{path}[{word}]"
        else:
            section = section_of(kind.item if isinstance(kind, ListOf) else kind)
            field = _field(section, word, path)
            kind, path = field.kind, f"{path}.{word}" if path else word
    return "\n".join(_lines(path, field, kind))


def all_keys() -> tuple[str, ...]:
    """Every key with a name of its own, with its path."""
    return tuple(_below("", Root))


def _below(path: str, section: type[Section]) -> Iterator[str]:
    for each in section.keys.values():
        name = f"{path}.{each.name}" if path else each.name
        yield name
        inner = section_of(each.kind)
        if inner is not None:
            yield from _below(name, inner)


def _field(section: type[Section] | None, word: str, path: str) -> Key[Any]:
    keys = section.keys if section is not None else {}
    if word not in keys:
        raise _unknown(f"{path}.{word}" if path else word, word, keys, path)
    return keys[word]


def _unknown(where: str, word: str, keys: Iterable[str], path: str) -> UsageError:
    known, everything = list(keys), all_keys()
    near = [each for each in everything if each.rpartition(".")[2] == word]
    meant = f"did you mean {' or '.join(near[:3])}?" if near else did_you_mean(where, everything, most=3)
    if not known:
        meant = f"{path} has no keys below it"
    return UsageError(f"the inventory has no key {where}", resolution=meant or f"known: {', '.join(known)}")


def _lines(path: str, key: Key[Any] | None, kind: object) -> Iterator[str]:
    section = section_of(kind.item if isinstance(kind, ListOf) else kind)
    yield path or "the inventory"
    yield f"  {key.doc if key is not None else Root.doc()}"
    if key is not None and kind is key.kind:
        yield from _facts(key)
    if section is not None:
        yield from _keys_of(section)


def _keys_of(section: type[Section]) -> Iterator[str]:
    if section.exclusive:
        names = ", ".join(section.exclusive)
        yield f"  {'exactly' if section.needs_one else 'at most'} one of: {names}"
    yield ""
    margin = max(map(len, section.keys))
    for name, each in section.keys.items():
        yield f"  {name:<{margin}}  {each.doc}"


def _facts(field: Key[Any]) -> Iterator[str]:
    if section_of(field.kind) is None:
        yield f"  value:    {field.kind.words()}"
    default = on_one_line(field.default) if field.default is not None else field.default_doc
    if default:
        yield f"  default:  {default}"
    if field.example is not None:
        yield f"  example:  {field.name}: {on_one_line(field.example)}"
