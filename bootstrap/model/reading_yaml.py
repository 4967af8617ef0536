"""Reads YAML that others wrote. Beside `reading`, which `--help` loads and PyYAML not."""

from __future__ import annotations

import yaml
from yaml import CollectionEndEvent, CollectionStartEvent

from bootstrap.model.reading import Reading, Source

YAML_ERRORS = (
    yaml.YAMLError,
    RecursionError,
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError),
)
"""What PyYAML raises: more than its own errors where a value is not of its tag (`!!bool x`, `2001-99-99`)."""


_WORDS = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
MAX_DEPTH = 32


def read_words(text: str) -> object:
    """YAML as texts, lists and mappings and nothing else, whatever its tags say; by libyaml where PyYAML has it.

    Raises:
        ValueError: It is nested deeper than `MAX_DEPTH`.
        yaml.YAMLError: It is not YAML.
    """
    plain = str(text)  # libyaml takes no subclass of it
    check_nesting(plain)
    loaded: object = yaml.load(plain, Loader=_WORDS)  # noqa: S506 - makes no objects
    return loaded


def check_nesting(text: str) -> None:
    """Raises ValueError before anything recurses: PyYAML's composer over libyaml overruns the stack (6.0.3, seen)."""
    depth = 0
    for event in yaml.parse(text, Loader=_WORDS):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(too_deep())


def too_deep() -> str:
    """What a text is that has too many levels."""
    return f"it is nested deeper than {MAX_DEPTH} levels"


def read_yaml(text: str, source: Source) -> Reading:
    """YAML 1.1, parsed; raises as `read_json` does."""
    try:
        return Reading(yaml.safe_load(text), source)
    except YAML_ERRORS:
        raise Reading(text, source).wrong("YAML") from None
