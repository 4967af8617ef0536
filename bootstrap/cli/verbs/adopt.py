"""`homelab-k8s adopt`: names what says it is a cluster's, asks, signs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.advice import Advice
from bootstrap.cli.asking.confirm import Question
from bootstrap.cli.completing import cluster_names
from bootstrap.cli.options import DryRun, InventoryFile, Lab, OutputForm, ProgressForm, Timeout, Trace, Yes
from bootstrap.cli.running.command_session import Acting, Ended, working
from bootstrap.cli.text import documents, tables
from bootstrap.cli.text.documents import Output
from bootstrap.cli.views.choose import Progress
from bootstrap.model.words import count

if TYPE_CHECKING:
    from bootstrap.planning.plan import Plan

ClusterArgument = Annotated[
    str,
    typer.Argument(metavar="CLUSTER", help="Name of the cluster that gets the machines.", autocompletion=cluster_names),
]
Vmids = Annotated[list[int] | None, typer.Option("--vmid", metavar="VMID", help="Adopt only this VM; can be repeated.")]


def adopt(
    context: typer.Context,
    cluster: ClusterArgument,
    *,
    vmid: Vmids = None,
    inventory: InventoryFile = None,
    timeout: Timeout = None,
    trace: Trace = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    lab: Lab = False,
    progress: ProgressForm = Progress.AUTO,
    output: OutputForm = Output.TEXT,
) -> None:
    """Take over VMs that claim to belong to a cluster but are not signed with its key; asks for its name first.

    For clusters made by earlier releases, lost keys and restored backups. Check each VM first: anyone who may change
    a VM's options can write such a claim.
    """
    from bootstrap.inventory import Overrides
    from bootstrap.model.ids import Vmid

    vmids = tuple(map(Vmid, vmid or ()))
    with working(
        "adopt",
        context,
        inventory=inventory,
        overrides=Overrides(cluster=cluster),
        lab=lab,
        progress=progress,
        output=output,
    ) as work:
        from bootstrap.commands.adopt import Adopt

        ended = work.act(
            Adopt(vmids=vmids),
            Acting(dry_run=dry_run, yes=yes, timeout_s=timeout, trace=trace),
            question=_question,
        )
        if ended is not None:
            work.result(
                lambda: work.session.advise(_closing(ended)),
                lambda: documents.kept_document(
                    ended.plan, ended.report, adopted=[machine.spec.name for machine in ended.plan.machines]
                ),
            )


def _question(plan: Plan) -> Question:
    machines = count(len(plan.machines), "VM")
    lines = [note for note in plan.notes if "is signed" in note]
    if plan.machines:
        lines.append(f"This makes {machines} part of {plan.cluster}: logged in to, given its secrets, removed with it.")
    otherwise = "--vmid VMID takes over that one alone"
    return Question("\n".join(lines), by_name=True, otherwise=otherwise)


def _closing(ended: Ended) -> str:
    plan, report = ended.plan, ended.report
    if report is None:
        return f"{plan.cluster}: nothing to adopt"
    machines = count(len(plan.lanes), "record")
    return Advice(
        "{}: {} signed in {}; next: `homelab-k8s status`", plan.cluster, machines, tables.seconds(report.took_s)
    )
