"""What commands print: YAML, and columns."""

from __future__ import annotations

import json

from ..shapes import Json


def columns(rows: list[list[str]], gap: int) -> str:
    """Rows of text, each column as wide as its widest cell and `gap` spaces from the next."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [(" " * gap).join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "".join(line.rstrip() + "\n" for line in lines)


def yaml_lines(value: Json) -> list[str]:
    """A value as YAML; its scalars are those of JSON."""
    if isinstance(value, dict) and value:
        return [line for key, item in value.items() for line in entry_lines(key, item)]
    if isinstance(value, list) and value:
        return [line for item in value for line in item_lines(item)]
    return [json.dumps(value)]


def entry_lines(key: str, item: Json) -> list[str]:
    """One entry of a mapping: on the line of its key, or below it and indented."""
    nested = yaml_lines(item)
    if isinstance(item, dict | list) and item:
        return [f"{key}:", *(f"  {line}" for line in nested)]
    return [f"{key}: {nested[0]}"]


def item_lines(item: Json) -> list[str]:
    """One entry of a list."""
    first, *rest = yaml_lines(item)
    return [f"- {first}", *(f"  {line}" for line in rest)]
