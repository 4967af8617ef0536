"""Reads YAML that others wrote. Beside `reading`, which `--help` loads and PyYAML not."""

from __future__ import annotations

import yaml

from bootstrap.model.reading import Reading, Source

YAML_ERRORS = (
    yaml.YAMLError,
    RecursionError,
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError),
)
"""What PyYAML raises: more than its own errors where a value is not of its tag (`!!bool x`, `2001-99-99`)."""


def read_yaml(text: str, source: Source) -> Reading:
    """YAML 1.1, parsed; raises as `read_json` does."""
    try:
        return Reading(yaml.safe_load(text), source)
    except YAML_ERRORS:
        raise Reading(text, source).wrong("YAML") from None
