"""Commands that only look: `status`, `kubeconfig`, `schema`."""

from __future__ import annotations

import sys

import typer

from bootstrap.cli import documents, tables
from bootstrap.cli.cluster import open_homelab
from bootstrap.cli.documents import Output
from bootstrap.cli.options import (
    Cluster,
    ControlPlanes,
    InventoryFile,
    Lab,
    OutputForm,
    ProgressForm,
    Workers,
    ports_of,
)
from bootstrap.cli.session import Session
from bootstrap.cli.views.choose import Progress

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
    with Session("status", ports=ports_of(context), progress=progress) as session:
        from bootstrap.inventory import Overrides

        overrides = Overrides(cluster=cluster, workers=workers, control_planes=control_planes)
        homelab = open_homelab(session, inventory=inventory, overrides=overrides, lab=lab)
        with session.view.busy(f"looking at {homelab.inventory.endpoint.url}"):
            found = homelab.status()
        session.result(
            tables.status_text(found)
            if output is Output.TEXT
            else documents.render(documents.status_document(found), output)
        )
        if not found.healthy:
            raise typer.Exit(UNHEALTHY)


def kubeconfig(
    context: typer.Context, *, inventory: InventoryFile = None, cluster: Cluster = None, lab: Lab = False
) -> None:
    """Print the administrator's kubeconfig, which is a secret."""
    with Session("kubeconfig", ports=ports_of(context), progress=Progress.QUIET) as session:
        from bootstrap.inventory import Overrides

        homelab = open_homelab(session, inventory=inventory, overrides=Overrides(cluster=cluster), lab=lab)
        session.result(homelab.kubeconfig())


def schema() -> None:
    """Print the JSON Schema of inventory files, for editors."""
    from bootstrap.inventory.schema import render_schema

    sys.stdout.write(render_schema())
    sys.stdout.flush()
