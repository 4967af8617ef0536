"""A step's title is a template of its own fields."""

from __future__ import annotations

from string import Formatter
from typing import get_args, get_type_hints

import pytest

from bootstrap.planning.base_step import BaseStep
from bootstrap.planning.steps import AwaitGuest, PrepareGuest, Step


def type_of(owner: type, name: str) -> type:
    """The type of a field or property."""
    hints = get_type_hints(owner)
    found = hints[name] if name in hints else get_type_hints(vars(owner)[name].fget)["return"]
    assert isinstance(found, type) or hasattr(found, "__supertype__"), (owner, name)
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("step", get_args(Step), ids=lambda step: step.__name__)
def test_a_title_names_fields_that_its_step_has(step: type[BaseStep]) -> None:
    assert step.phase
    assert step.title_template or "title" in vars(step), "it has a title"
    for _, path, _, _ in Formatter().parse(step.title_template):
        owner: type = step
        for name in path.split(".") if path else ():
            owner = type_of(owner, name)


def test_braces_in_a_field_are_no_template() -> None:
    step = PrepareGuest(machine="demo-cp-1", version="{machine}")  # type: ignore[arg-type]
    assert step.title == "send k3s {machine}"
    assert AwaitGuest.phase == "boot"
