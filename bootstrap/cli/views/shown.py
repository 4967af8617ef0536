"""Events as views show them: each text on one line, without control characters."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from bootstrap.errors import HomelabError
from bootstrap.events import Event
from bootstrap.model.visible import visible, visible_line


def shown_event(event: Event) -> Event:
    """The event with every text visible."""
    texts: dict[str, Any] = {field.name: _shown(getattr(event, field.name)) for field in fields(event)}
    return replace(event, **texts)


def _shown(value: object) -> object:
    match value:
        case str():
            return visible_line(value)
        case tuple():
            return tuple(map(_shown, value))
        case HomelabError():
            return HomelabError(
                visible_line(value.brief), details=visible(value.details), resolution=visible(value.resolution)
            )
        case _:
            return value
