"""`--help` of every command says all there is to know of it, within 80 columns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
import typer
from typer.models import ArgumentInfo, OptionInfo
from typer.testing import CliRunner

from bootstrap.cli.main import app


def commands(group: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Callable[..., Any]]]:
    """Every command with its function."""
    for each in group.registered_commands:
        assert each.callback is not None
        yield (*path, str(each.name)), each.callback
    for below in group.registered_groups:
        assert below.typer_instance is not None
        yield from commands(below.typer_instance, (*path, str(below.name)))


COMMANDS = dict(commands(app))
FROM_THE_INVENTORY = "Options replace values of the inventory."
NOTHING = {
    *("trace", "port", "restore", "replace_unreachable", "to", "user", "revoke", "namespace", "addon", "pve_version"),
    *("pool", "machines", "key", "arguments", "vnet", "delays", "token_id", "fingerprint"),
}
"""Without these nothing is done of what they say, or it is found out; their help needs no default."""


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_has_its_unit_and_its_default(path: tuple[str, ...]) -> None:
    function = COMMANDS[path]
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        kind, *notes = get_args(parameter.annotation) or (parameter.annotation,)
        info = next((note for note in notes if isinstance(note, OptionInfo | ArgumentInfo)), None)
        if info is None or info.hidden:
            continue
        text = info.help or ""
        assert text, f"{name} has no help"
        assert text.endswith((".", ")")) or ":" in text, f"{name}: {text}"
        if kind is bool or isinstance(parameter.default, int | float | str) or parameter.default is parameter.empty:
            continue  # a flag, Typer shows the default, or it is required
        assert info.metavar or "StrEnum" in str(getattr(kind, "__mro__", "")) or "|" in str(kind), f"{name}: no unit"
        says = (text + (inspect.getdoc(function) or "")).lower()
        assert name in NOTHING or "default" in says or "asks for everything" in says, f"{name}: no default"


@pytest.mark.parametrize("path", [(), *COMMANDS], ids=" ".join)
def test_help_fits_80_columns(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80"})
    assert shown.exit_code == 0
    assert [line for line in shown.stdout.splitlines() if len(line) > 80 or "…" in line] == []
