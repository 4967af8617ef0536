"""The table of step handlers."""

from __future__ import annotations

import inspect
from typing import get_args, get_type_hints

import pytest

from bootstrap.execution.dispatch import HANDLERS
from bootstrap.planning.steps import Step


def test_every_kind_of_step_has_a_handler() -> None:
    """A step that is added to `Step` without a handler fails here, not in a run."""
    assert set(HANDLERS) == set(get_args(Step))


@pytest.mark.parametrize("kind", HANDLERS, ids=lambda kind: kind.__name__)
def test_a_handler_takes_the_kind_of_step_that_it_is_listed_for(kind: type[Step]) -> None:
    """The table's type does not join a key to its value, so this does."""
    handler = HANDLERS[kind]
    first = next(iter(inspect.signature(handler).parameters))
    takes = get_type_hints(handler)[first]
    assert kind in (get_args(takes) or (takes,))
