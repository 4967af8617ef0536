"""`homelab-k8s down`: names what goes, asks, removes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bootstrap.cli import documents, tables
from bootstrap.cli.cluster import open_homelab
from bootstrap.cli.documents import Output
from bootstrap.cli.options import (
    Cluster,
    DryRun,
    InventoryFile,
    Lab,
    OutputForm,
    ProgressForm,
    Timeout,
    Trace,
    Yes,
    ports_of,
)
from bootstrap.cli.session import Session
from bootstrap.cli.views.choose import Progress
from bootstrap.errors import HomelabError, InterruptedRunError, UsageError
from bootstrap.events import Warned

if TYPE_CHECKING:
    from bootstrap.execution.report import Report
    from bootstrap.homelab import Homelab
    from bootstrap.planning.plan import Plan


def down(
    context: typer.Context,
    *,
    inventory: InventoryFile = None,
    cluster: Cluster = None,
    timeout: Timeout = None,
    trace: Trace = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    lab: Lab = False,
    progress: ProgressForm = Progress.AUTO,
    output: OutputForm = Output.TEXT,
) -> None:
    """Remove the cluster's machines, kubeconfig entries and state; asks for the cluster's name first."""
    with Session("down", ports=ports_of(context), progress=progress) as session:
        from bootstrap.inventory import Overrides

        homelab = open_homelab(session, inventory=inventory, overrides=Overrides(cluster=cluster), lab=lab)
        with session.view.busy(f"looking at {homelab.inventory.endpoint.url}"):
            plan = homelab.plan_down()
        if dry_run:
            session.result(
                tables.plan_text(plan)
                if output is Output.TEXT
                else documents.render(documents.plan_document(plan), output)
            )
            return
        report = None if plan.empty else _remove(session, homelab, plan, yes=yes, timeout_s=timeout, trace=trace)
        if report is None:
            for note in plan.notes:
                session.sink(Warned(subject=plan.cluster, message=note))
        session.result(
            _closing(plan, report)
            if output is Output.TEXT
            else documents.render(documents.down_document(plan, report), output)
        )


def _remove(
    session: Session, homelab: Homelab, plan: Plan, *, yes: bool, timeout_s: float | None, trace: Path | None
) -> Report:
    from bootstrap.commands.run import RunOptions
    from bootstrap.execution.context import Timeouts

    if yes:
        session.view.text(tables.plan_table(plan))
    else:
        _ask(plan)
    timeouts = Timeouts(run_s=timeout_s) if timeout_s is not None else Timeouts()
    with session.running(trace=trace):
        return homelab.down(plan, sink=session.sink, options=RunOptions(timeouts=timeouts))


def _ask(plan: Plan) -> None:
    """Have the user type the cluster's name, whatever the progress form: a question must be seen.

    Raises:
        UsageError: Nobody is there to ask.
        HomelabError: Something else was typed.
    """
    if not sys.stdin.isatty():
        raise UsageError(
            f"down asks for the name of {plan.cluster}, and stdin is no terminal",
            details=tables.plan_table(plan),
            resolution="give --yes to remove it without being asked",
        )
    what = tables.counted(len(plan.machines), "machine") if plan.machines else "kubeconfig entries and state"
    try:
        sys.stderr.write(f"{tables.plan_table(plan)}\n\n" if plan.machines else "")
        sys.stderr.write(f"This removes {what} for good. Type the cluster's name ({plan.cluster}) to go on: ")
        sys.stderr.flush()
        typed = sys.stdin.readline()
    except KeyboardInterrupt:
        typed = ""
    if not typed:  # Ctrl-C or Ctrl-D: the terminal's cursor still stands behind the question
        sys.stderr.write("\n")
        raise InterruptedRunError("no name was typed: nothing was removed")
    if typed.strip() != plan.cluster:
        raise HomelabError(f"{typed.strip()!r} is not {plan.cluster}: nothing was removed")


def _closing(plan: Plan, report: Report | None) -> str:
    if report is None:
        return f"{plan.cluster}: nothing is there; nothing to do"
    what = tables.counted(len(plan.machines), "machine") if plan.machines else "kubeconfig entries and state"
    return f"{plan.cluster}: {what} removed in {tables.seconds(report.took_s)} ({tables.phases_text(report.phases)})"
