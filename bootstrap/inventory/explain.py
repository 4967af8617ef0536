"""The help of one key of the inventory, from the table the parser reads by. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from bootstrap.errors import UsageError
from bootstrap.inventory.keys.all import ROOT
from bootstrap.inventory.reference import on_one_line
from bootstrap.inventory.values.containers import Field, ListOf, MapOf, Section, section_of

_WORD = re.compile(r"[^.\[\]]+")


def explain(key: str) -> str:
    """What a key is for, what it holds, its default, an example, and the keys below it.

    Args:
        key: As problems name it: `control_plane.cores`, `network.dns[1]`, `pools.gpu.count`; empty for all.

    Raises:
        UsageError: There is no such key; `resolution` has what is near.
    """
    section: Section | None = ROOT
    field: Field[Any] | None = None
    kind: object = ROOT
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
    return tuple(_below("", ROOT))


def _below(path: str, section: Section) -> Iterator[str]:
    for each in section.fields:
        name = f"{path}.{each.name}" if path else each.name
        yield name
        inner = section_of(each.kind)
        if inner is not None:
            yield from _below(name, inner)


def _field(section: Section | None, word: str, path: str) -> Field[Any]:
    fields = {each.name: each for each in section.fields} if section is not None else {}
    if word in fields:
        return fields[word]
    where = f"{path}.{word}" if path else word
    keys = all_keys()
    near = [each for each in keys if each.rpartition(".")[2] == word] or difflib.get_close_matches(where, keys, n=3)
    known = f"known: {', '.join(fields)}" if fields else f"{path} has no keys below it"
    meant = f"did you mean {' or '.join(near[:3])}?" if near and fields else known
    raise UsageError(f"the inventory has no key {where}", resolution=meant)


def _lines(path: str, field: Field[Any] | None, kind: object) -> Iterator[str]:
    section = section_of(kind.item if isinstance(kind, ListOf) else kind)
    yield path or "the inventory"
    yield f"  {field.doc if field is not None else ROOT.doc}"
    if field is not None and kind is field.kind:
        yield from _facts(field)
    if section is None:
        return
    if section.exclusive:
        names = ", ".join(section.exclusive)
        yield f"  {'exactly' if section.needs_one else 'at most'} one of: {names}"
    yield ""
    margin = max(len(each.name) for each in section.fields)
    for each in section.fields:
        yield f"  {each.name:<{margin}}  {each.doc}"


def _facts(field: Field[Any]) -> Iterator[str]:
    if section_of(field.kind) is None:
        yield f"  value:    {field.kind.words()}"
    default = on_one_line(field.default) if field.default is not None else field.default_doc
    if default:
        yield f"  default:  {default}"
    if field.example is not None:
        yield f"  example:  {field.name}: {on_one_line(field.example)}"
