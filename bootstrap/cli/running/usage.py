"""What is wrong with a command line, in lines that fit the terminal: Typer shows each as one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import typer
from typer.core import TyperGroup

from bootstrap.cli.text.wrapping import columns_of, fitted

_USAGE_ERROR: Final[Any] = typer.BadParameter.__mro__[1]
"""The base of all that is wrong usage, which Typer does not export: Click's own in its older releases."""
_START = "Error: "
_OF_PYDANTIC = "Value error, "
"""Stands before the message of a choice that there is not."""


def subcommands(purpose: str) -> typer.Typer:
    """A command that has commands of its own, such as `lab start`."""
    return typer.Typer(help=purpose, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


class FittingGroup(TyperGroup):
    """Commands whose usage errors end their lines between words."""

    def make_context(self, *args: Any, **named: Any) -> Any:  # noqa: ANN401 - Click's own, whose types Typer does not export
        """Read the program's own options, see Click's `Command.make_context`."""
        with _fitting():
            return super().make_context(*args, **named)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - likewise
        """Read a command's options and run it, see Click's `Command.invoke`."""
        with _fitting():
            return super().invoke(ctx)


@contextmanager
def _fitting() -> Iterator[None]:
    try:
        yield
    except _USAGE_ERROR as error:
        if type(error).show is not _USAGE_ERROR.show:  # the help that stands in for an error where no command is given
            raise
        message = error.format_message().replace(_OF_PYDANTIC, "")
        text = fitted(f"{_START}{message}", columns_of(sys.stderr))
        raise _USAGE_ERROR(text.removeprefix(_START), ctx=error.ctx) from error
