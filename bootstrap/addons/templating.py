"""Fills an add-on's templates. Pure.

A text that is only `${name}` becomes that value, of any type; within a longer text the value's text is put in. A key or
an item whose value is None is left out. What was filled in is never read as a template again.

- `$when: ${name}` leaves a mapping out unless that value is there and is not false, zero or empty.
- `$yaml: {...}` becomes a text with that as YAML.
- `$each: ${names}` with `$item: {...}` becomes a list, an item for each, which sees it as `${each}` and its keys as
  `${each.key}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

_NAME: Final = re.compile(r"\$\{([a-z_][a-z0-9_.]*)\}")


def fill(template: object, names: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON of any shape
    """The template with its values; None where it is left out.

    Raises:
        KeyError: A name is not among the values: a mistake in the add-on.
    """
    if isinstance(template, str):
        return _text(template, names)
    if isinstance(template, Mapping):
        return _mapping(template, names)
    if isinstance(template, list):
        return [each for each in (fill(item, names) for item in template) if each is not None]
    return template


class _Blocks(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and what occurs twice twice."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's
        """See PyYAML."""
        return True


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Blocks.add_representer(str, _block)


def dump(value: object) -> str:
    """YAML as people write it."""
    return dump_all([value])


def dump_all(values: Sequence[object]) -> str:
    """The same for several documents."""
    text: str = yaml.dump_all(
        values, Dumper=_Blocks, default_flow_style=False, sort_keys=False, width=2**16, allow_unicode=True
    )
    return text


def _mapping(template: Mapping[str, Any], names: Mapping[str, Any]) -> Any:  # noqa: ANN401
    if "$when" in template and not fill(template["$when"], names):
        return None
    if "$yaml" in template:
        return dump(fill(template["$yaml"], names))
    if "$each" in template:
        return _list(template, names)
    filled = {key: fill(value, names) for key, value in template.items() if key != "$when"}
    return {key: value for key, value in filled.items() if value is not None}


def _list(template: Mapping[str, Any], names: Mapping[str, Any]) -> list[Any] | None:
    items = fill(template["$each"], names)
    if items is None:
        return None
    return [fill(template["$item"], {**names, **_named(item)}) for item in items]


def _named(item: object) -> dict[str, Any]:
    inner = item if isinstance(item, Mapping) else {}
    return {"each": item, **{f"each.{key}": value for key, value in inner.items()}}


def _text(template: str, names: Mapping[str, Any]) -> Any:  # noqa: ANN401
    alone = _NAME.fullmatch(template)
    if alone is not None:
        return names[alone[1]]
    return _NAME.sub(lambda found: str(names[found[1]]), template)
