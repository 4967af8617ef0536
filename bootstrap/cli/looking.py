"""Commands that only print: `kubeconfig`, `schema`."""

from __future__ import annotations

import sys

import typer

from bootstrap.cli.options import Cluster, InventoryFile, Lab
from bootstrap.cli.views.choose import Progress
from bootstrap.cli.work import working


def kubeconfig(
    context: typer.Context, *, inventory: InventoryFile = None, cluster: Cluster = None, lab: Lab = False
) -> None:
    """Print the administrator's kubeconfig, which is a secret."""
    from bootstrap.inventory import Overrides

    overrides = Overrides(cluster=cluster)
    with working(
        "kubeconfig", context, inventory=inventory, overrides=overrides, lab=lab, progress=Progress.QUIET
    ) as work:
        work.session.result(work.homelab.kubeconfig())


def schema() -> None:
    """Print the JSON Schema of inventory files, for editors."""
    from bootstrap.inventory.schema import render_schema

    sys.stdout.write(render_schema())
    sys.stdout.flush()
