"""YAML for those who ask a command for it."""

from __future__ import annotations

import json

from .shapes import Json


def yaml_lines(value: Json) -> list[str]:
    """A value as YAML; its scalars are those of JSON."""
    if isinstance(value, dict) and value:
        lines = []
        for key, item in value.items():
            nested = yaml_lines(item)
            plain = not isinstance(item, dict | list) or not item
            lines += [f"{key}: {nested[0]}"] if plain else [f"{key}:", *(f"  {line}" for line in nested)]
        return lines
    if isinstance(value, list) and value:
        blocks = [yaml_lines(item) for item in value]
        return [("- " if at == 0 else "  ") + line for block in blocks for at, line in enumerate(block)]
    return [json.dumps(value)]
