"""Commands that only look: `status`, `kubeconfig`, `schema`."""

from __future__ import annotations

import sys

import typer

from bootstrap.cli import documents, tables
from bootstrap.cli.documents import Output
from bootstrap.cli.options import Cluster, ControlPlanes, InventoryFile, Lab, OutputForm, ProgressForm, Workers
from bootstrap.cli.views.choose import Progress
from bootstrap.cli.work import working

UNHEALTHY = 1


def status(
    context: typer.Context,
    *,
    inventory: InventoryFile = None,
    cluster: Cluster = None,
    workers: Workers = None,
    control_planes: ControlPlanes = None,
    lab: Lab = False,
    progress: ProgressForm = Progress.AUTO,
    output: OutputForm = Output.TEXT,
) -> None:
    """Show machines and Kubernetes nodes side by side. Exit code 0 when all is well, 1 when there are problems."""
    from bootstrap.inventory import Overrides

    overrides = Overrides(cluster=cluster, workers=workers, control_planes=control_planes)
    with working(
        "status", context, inventory=inventory, overrides=overrides, lab=lab, progress=progress, output=output
    ) as work:
        found = work.look(work.homelab.status)
        work.result(lambda: tables.status_text(found), lambda: documents.status_document(found))
        if not found.healthy:
            raise typer.Exit(UNHEALTHY)


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
