"""A command takes options in groups; Typer, help and completion see each of them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from bootstrap.cli.option_groups import with_options


@dataclass(frozen=True, kw_only=True)
class Inner:
    loud: Annotated[bool, typer.Option("--loud", help="Shout.")] = False


@dataclass(frozen=True, kw_only=True)
class Outer:
    context: typer.Context
    name: Annotated[str, typer.Option("--name", help="Whom to greet.")] = "world"
    inner: Inner


@dataclass(frozen=True, kw_only=True)
class Polite(Outer):
    name: Annotated[str, typer.Option("--name", help="Whom to greet kindly.")] = "dear world"


SEEN: list[tuple[str, int, str, bool]] = []


@with_options
def greet(count: Annotated[int, typer.Argument()], *, outer: Outer, last: Annotated[str, typer.Option()] = "") -> None:
    """Greet."""
    SEEN.append((f"{outer.context.info_name}{last}", count, outer.name, outer.inner.loud))


@with_options
def bow(*, polite: Polite) -> None:
    """Bow."""
    SEEN.append((str(polite.context.info_name), 0, polite.name, polite.inner.loud))


@pytest.fixture
def app() -> typer.Typer:
    SEEN.clear()
    made = typer.Typer(rich_markup_mode=None)
    made.command("greet")(greet)
    made.command("bow")(bow)
    return made


def test_fields_stand_in_the_place_of_their_group() -> None:
    assert list(inspect.signature(greet).parameters) == ["count", "context", "name", "loud", "last"]


def test_values_and_defaults_reach_the_command(app: typer.Typer) -> None:
    for line in (["greet", "2", "--name", "you", "--loud", "--last", "!"], ["greet", "1"], ["bow"]):
        result = CliRunner().invoke(app, line)
        assert result.exit_code == 0, result.output
    assert SEEN == [("greet!", 2, "you", True), ("greet", 1, "world", False), ("bow", 0, "dear world", False)]


def test_a_group_that_is_made_of_another_replaces_its_help_alone(app: typer.Typer) -> None:
    helped = CliRunner().invoke(app, ["bow", "--help"]).output
    assert "Whom to greet kindly." in helped
    assert "Shout." in helped
    assert "Bow." in helped
