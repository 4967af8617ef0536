"""Groups of options: a dataclass of annotated fields, which a command takes as one parameter.

    @with_options
    def down(target: Target, acting: Acting) -> None: ...

Typer has no such thing: it sees each field of `Target` and `Acting` as a parameter of its own. Groups are dataclasses
with `eq=False, repr=False`, since creating those methods would slow down every `--help`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, wraps
from typing import TypeGuard, get_type_hints


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter of a command that is a group of options by the group's fields, in place."""
    signature = inspect.signature(command, eval_str=True)

    @wraps(command)
    def with_groups(**given: object) -> None:
        command(**{name: _value(parameter, given) for name, parameter in signature.parameters.items()})

    parameters = [each for parameter in signature.parameters.values() for each in _flat(parameter)]
    # Typer reads both.
    with_groups.__annotations__ = {each.name: each.annotation for each in parameters}
    with_groups.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return with_groups


def _flat(parameter: inspect.Parameter) -> Iterator[inspect.Parameter]:
    if not _is_group(parameter.annotation):
        yield parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        return
    for each in _members(parameter.annotation):
        yield from _flat(each)


def _value(parameter: inspect.Parameter, given: Mapping[str, object]) -> object:
    if not _is_group(parameter.annotation):
        return given[parameter.name]
    return parameter.annotation(**{each.name: _value(each, given) for each in _members(parameter.annotation)})


def _is_group(annotation: object) -> TypeGuard[type]:
    return isinstance(annotation, type) and is_dataclass(annotation)


@cache
def _members(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
