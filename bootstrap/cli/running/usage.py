"""Usage errors wrapped to the terminal (Typer prints each as one line), and groups of commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import typer
from typer.core import TyperGroup

from bootstrap.cli.text.wrapping import columns_of, fitted

_USAGE_ERROR: Final[Any] = typer.BadParameter.__mro__[1]
"""The base of usage errors, which Typer does not export: Click's own in older releases."""
_START = "Error: "
_OF_PYDANTIC = "Value error, "
"""Prefix of the message for an unknown choice."""


def subcommands(purpose: str) -> typer.Typer:
    """A command that has commands of its own, such as `lab start`."""
    return typer.Typer(help=purpose, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


class FittingGroup(TyperGroup):
    """Commands whose usage errors are wrapped between words."""

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
        if type(error).show is not _USAGE_ERROR.show:  # help, shown because no command is given
            raise
        message = error.format_message().replace(_OF_PYDANTIC, "")
        text = fitted(f"{_START}{message}", columns_of(sys.stderr))
        raise _USAGE_ERROR(text.removeprefix(_START), ctx=error.ctx) from error
