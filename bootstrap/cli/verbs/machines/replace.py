"""`homelab-k8s replace`: machines are replaced by fresh clones."""

from __future__ import annotations

from typing import Annotated

import typer

from bootstrap.advice import Advice
from bootstrap.cli.completing import machine_names, pool_names
from bootstrap.cli.options import (
    DRAIN_TIMEOUT_S,
    Cluster,
    DeleteEmptydirData,
    DeleteLocalData,
    DrainTimeout,
    DryRun,
    Force,
    InventoryFile,
    Lab,
    OutputForm,
    ProgressForm,
    Timeout,
    Trace,
    Yes,
    drain_rules,
)
from bootstrap.cli.running.command_session import Acting, working
from bootstrap.cli.text import documents
from bootstrap.cli.text.documents import Output
from bootstrap.cli.verbs.machines.scale import closing, question
from bootstrap.cli.views.choose import Progress
from bootstrap.errors import UsageError


def replace(
    context: typer.Context,
    machines: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MACHINE]...", help="Machines of one pool.", autocompletion=machine_names),
    ] = None,
    *,
    pool: Annotated[
        str | None, typer.Option("--pool", metavar="NAME", help="All machines of this pool.", autocompletion=pool_names)
    ] = None,
    template: Annotated[
        str | None, typer.Option(metavar="NAME", help="Template to clone: its name, VMID or tag:NAME.")
    ] = None,
    max_unavailable: Annotated[
        int,
        typer.Option("--max-unavailable", metavar="N", min=1, help="Maximum number of workers to work on at a time."),
    ] = 1,
    surge: Annotated[
        bool, typer.Option("--surge/--no-surge", help="Add the new machine before the old one is removed.")
    ] = True,
    inventory: InventoryFile = None,
    cluster: Cluster = None,
    delete_emptydir_data: DeleteEmptydirData = False,
    delete_local_data: DeleteLocalData = False,
    force: Force = False,
    drain_timeout: DrainTimeout = DRAIN_TIMEOUT_S,
    timeout: Timeout = None,
    trace: Trace = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    lab: Lab = False,
    progress: ProgressForm = Progress.AUTO,
    output: OutputForm = Output.TEXT,
) -> None:
    """Replace machines with fresh clones of the template, one at a time, for example to get a patched OS.

    A new machine gets a new name. Run it again to continue an interrupted replacement.
    """
    from bootstrap.inventory import Overrides

    with working(
        "replace",
        context,
        inventory=inventory,
        overrides=Overrides(cluster=cluster, template=template),
        lab=lab,
        progress=progress,
        output=output,
    ) as work:
        from bootstrap.commands.verbs.replace import Replace

        if bool(machines) == bool(pool):
            raise UsageError(
                "pass either machines or a pool",
                resolution=Advice(
                    "for example: `homelab-k8s replace demo-workers-2`, or `homelab-k8s replace --pool workers`"
                ),
            )
        from bootstrap.model.ids import MachineName, PoolName
        from bootstrap.planning.verbs.replace import ReplaceOptions

        rules = drain_rules(
            force=force, timeout_s=drain_timeout, delete_emptydir_data=delete_emptydir_data or delete_local_data
        )
        asked = ReplaceOptions(
            pool=PoolName(pool or ""),
            machines=tuple(MachineName(machine) for machine in machines or ()),
            at_once=max_unavailable,
            surge=surge,
            rules=rules,
        )
        ended = work.act(
            Replace(asked),
            Acting(dry_run=dry_run, yes=yes, timeout_s=timeout, trace=trace),
            question=question,
        )
        if ended is not None:
            work.result(lambda: closing(ended), lambda: documents.change_document(ended.plan, ended.report))
