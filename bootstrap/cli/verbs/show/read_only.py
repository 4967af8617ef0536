"""Commands that only print: `schema`, `explain`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bootstrap.cli.completing import key_names
from bootstrap.cli.running.session import Session
from bootstrap.cli.views.choose import Progress


def schema() -> None:
    """Print the JSON Schema of inventory files, for editors."""
    from bootstrap.inventory.describe.schema import render_schema

    sys.stdout.write(render_schema())
    sys.stdout.flush()


def explain(
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY",
            help="For example workers.memory or k3s; default: the top-level keys.",
            autocompletion=key_names,
        ),
    ] = "",
) -> None:
    """Describe an inventory key: purpose, type, default and an example."""
    with Session("explain", progress=Progress.QUIET) as session:
        from bootstrap.inventory.describe.explain import explain as explained

        session.result(explained(key), fit=True)
