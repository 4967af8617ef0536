"""The reference of all keys, as Markdown, from the parser's table.

`python -m bootstrap.inventory.describe.reference docs/inventory.md` renews the part of the page between the two marks.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.values.containers import ListOf, MapOf
from bootstrap.inventory.values.section import Key, Section, section_of

BEGIN: Final = "<!-- keys: begin (python -m bootstrap.inventory.describe.reference docs/inventory.md) -->"
END: Final = "<!-- keys: end -->"


def render_reference() -> str:
    """A table per section, the top level first, with each key's value, default, example and meaning."""
    return "\n".join(["", *_tables("", Root), ""])


def renewed(page: str) -> str:
    """The page with a new part between the marks. Raises ValueError where a mark is missing."""
    head, begin, rest = page.partition(BEGIN)
    _old, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has lost a mark")
    return f"{head}{BEGIN}\n{render_reference()}\n{END}{tail}"


def _tables(path: str, section: type[Section]) -> Iterator[str]:
    yield f"### {f'`{path}`' if path else 'Top level'}"
    yield ""
    yield section.doc()
    if section.exclusive:
        names = ", ".join(f"`{name}`" for name in section.exclusive)
        yield ""
        yield f"{'Exactly' if section.needs_one else 'At most'} one of {names}."
    yield ""
    yield "| key | value | default | example | |"
    yield "|---|---|---|---|---|"
    for each in section.keys.values():
        yield f"| `{each.name}` | {_value(each, path)} | {_default(each)} | {_example(each)} | {_cell(each.doc)} |"
    yield ""
    for each in section.keys.values():
        inner = section_of(each.kind)
        if inner is not None:
            yield from _tables(_join(path, each.name), inner)
        elif isinstance(each.kind, ListOf) and (item := section_of(each.kind.item)) is not None:
            yield from _tables(f"{_join(path, each.name)}[]", item)


def _value(each: Key[Any], path: str) -> str:
    if each is Root.pools:
        return "a mapping of names to the keys of `workers`"
    inner = section_of(each.kind)
    if inner is None:
        kind = each.kind
        match kind:
            case ListOf() if section_of(kind.item) is not None:
                name = _join(path, each.name)
                return f"a list, see [`{name}[]`](#{_anchor(name)})"
            case ListOf():
                return _cell(f"a list of: {kind.item.words()}")
            case MapOf():
                return _cell(f"a mapping of {kind.key.words()} to {kind.value.words()}")
        return _cell(kind.words())
    name = _join(path, each.name)
    link = f"see [`{name}`](#{_anchor(name)})"
    return link if inner is each.kind else f"a single value, or {link}"


def _anchor(name: str) -> str:
    """The anchor of a section's heading."""
    return re.sub(r"[.\[\]]", "", name)


def _default(each: Key[Any]) -> str:
    if each.default is None:
        return _cell(each.default_doc) or ("" if section_of(each.kind) is not None else "none")
    return f"`{on_one_line(each.default)}`"


def _example(each: Key[Any]) -> str:
    return "" if each.example is None else f"`{on_one_line(each.example)}`"


def on_one_line(value: object) -> str:
    """A value as a user writes it on one line."""
    match value:
        case str():
            return json.dumps(value) if "\n" in value else value
        case list():
            return f"[{', '.join(on_one_line(item) for item in value)}]"
        case dict():
            return f"{{{', '.join(f'{key}: {on_one_line(item)}' for key, item in value.items())}}}"
        case _:
            return json.dumps(value)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(renewed(target.read_text(encoding="utf-8")), encoding="utf-8")
