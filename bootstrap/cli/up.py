"""`homelab-k8s up`: the plan, the run, and what to type next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.cli import documents, tables
from bootstrap.cli.cluster import open_homelab
from bootstrap.cli.documents import Output
from bootstrap.cli.options import (
    Cluster,
    ControlPlanes,
    DryRun,
    InventoryFile,
    Lab,
    LabGuests,
    OutputForm,
    ProgressForm,
    Timeout,
    Trace,
    Workers,
    ports_of,
)
from bootstrap.cli.session import Session
from bootstrap.cli.views.choose import Progress
from bootstrap.errors import UsageError
from bootstrap.events import Warned

if TYPE_CHECKING:
    from bootstrap.execution.report import Report
    from bootstrap.homelab import Homelab
    from bootstrap.planning.plan import Plan

Cores = Annotated[int | None, typer.Option(metavar="N", help="vCPUs of each.")]
Size = Annotated[str | None, typer.Option(metavar="SIZE", help="Of each, such as 4GiB.")]
Text = Annotated[str | None, typer.Option(metavar="NAME")]

STDOUT = "-"


def up(
    context: typer.Context,
    *,
    inventory: InventoryFile = None,
    cluster: Cluster = None,
    workers: Workers = None,
    worker_cores: Cores = None,
    worker_memory: Size = None,
    worker_disk: Size = None,
    control_planes: ControlPlanes = None,
    control_plane_cores: Cores = None,
    control_plane_memory: Size = None,
    control_plane_disk: Size = None,
    template: Annotated[
        str | None, typer.Option(metavar="NAME", help="The template: its name, its vmid, or tag:NAME.")
    ] = None,
    clone: Annotated[str | None, typer.Option(metavar="MODE", help="linked or full.")] = None,
    storage: Annotated[str | None, typer.Option(metavar="NAME", help="Storage for full clones.")] = None,
    vmids: Annotated[str | None, typer.Option(metavar="FIRST-LAST", help="The vmids that are ours.")] = None,
    bridge: Annotated[str | None, typer.Option(metavar="NAME", help="Proxmox bridge of the machines.")] = None,
    ssh_user: Annotated[str | None, typer.Option(metavar="NAME", help="Login name on the machines.")] = None,
    ssh_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Private key to log in with.")] = None,
    k3s_version: Annotated[str | None, typer.Option(metavar="VERSION", help="Such as v1.33.3+k3s1.")] = None,
    k3s_channel: Annotated[
        str | None,
        typer.Option("--k3s-channel", "--channel", metavar="NAME", help="k3s release channel: stable, v1.33."),
    ] = None,
    k3s_artifacts: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Directory with k3s and its checksums, instead of releases.")
    ] = None,
    kubeconfig: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="File to merge the kubeconfig into; - prints it and merges nothing."),
    ] = None,
    timeout: Timeout = None,
    trace: Trace = None,
    dry_run: DryRun = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Taken for scripts' sake: up only adds and never asks.")
    ] = False,
    lab: Lab = False,
    guests: LabGuests = None,
    progress: ProgressForm = Progress.AUTO,
    output: OutputForm = Output.TEXT,
) -> None:
    """Make the cluster as the inventory says: what is missing is made, what is broken repaired, nothing removed."""
    del yes
    with Session("up", ports=ports_of(context), progress=progress) as session:
        from bootstrap.inventory import Overrides

        if kubeconfig == STDOUT and output is not Output.TEXT:
            raise UsageError("--kubeconfig - and --output both print to stdout", resolution="leave one of them out")
        overrides = Overrides(
            cluster=cluster,
            workers=workers,
            worker_cores=worker_cores,
            worker_memory=worker_memory,
            worker_disk=worker_disk,
            control_planes=control_planes,
            control_plane_cores=control_plane_cores,
            control_plane_memory=control_plane_memory,
            control_plane_disk=control_plane_disk,
            template=template,
            clone=clone,
            storage=storage,
            vmids=vmids,
            bridge=bridge,
            ssh_user=ssh_user,
            ssh_key=ssh_key,
            k3s_version=k3s_version,
            k3s_channel=k3s_channel,
            k3s_artifacts=k3s_artifacts,
        )
        homelab = open_homelab(
            session, inventory=inventory, overrides=overrides, lab=lab, start_lab=True, guests=guests
        )
        with session.view.busy(f"looking at {homelab.inventory.endpoint.url}"):
            plan = homelab.plan_up()
        if dry_run:
            session.result(
                tables.plan_text(plan)
                if output is Output.TEXT
                else documents.render(documents.plan_document(plan), output)
            )
            return
        _Up(session, homelab, plan, kubeconfig=kubeconfig, output=output).carry_out(timeout_s=timeout, trace=trace)


class _Up:
    """An `up` whose plan is made."""

    def __init__(
        self, session: Session, homelab: Homelab, plan: Plan, *, kubeconfig: str | None, output: Output
    ) -> None:
        self._session = session
        self._homelab = homelab
        self._plan = plan
        self._to_stdout = kubeconfig == STDOUT
        self._path = Path(kubeconfig) if kubeconfig and not self._to_stdout else None
        self._output = output

    def carry_out(self, *, timeout_s: float | None, trace: Path | None) -> None:
        report = None if self._plan.empty else self._run(timeout_s, trace)
        merged = self._merge(report)
        if self._output is not Output.TEXT:
            document = documents.up_document(
                self._homelab.status(), report, kubeconfig=str(merged) if merged is not None else None
            )
            self._session.result(documents.render(document, self._output))
        elif self._to_stdout:
            self._session.view.text(self._closing(report))
            self._session.result(self._homelab.kubeconfig())
        else:
            self._session.result(self._closing(report))

    def _run(self, timeout_s: float | None, trace: Path | None) -> Report:
        from bootstrap.commands.run import RunOptions
        from bootstrap.execution.context import KubeconfigTarget, Timeouts

        self._session.view.text(tables.plan_table(self._plan))
        options = RunOptions(
            kubeconfig=KubeconfigTarget(path=self._path, merge=not self._to_stdout),
            timeouts=Timeouts(run_s=timeout_s) if timeout_s is not None else Timeouts(),
        )
        with self._session.running(trace=trace):
            return self._homelab.up(self._plan, sink=self._session.sink, options=options)

    def _merge(self, report: Report | None) -> Path | None:
        """The kubeconfig file our entries are in; where nothing ran they are looked after here."""
        if report is None:
            for note in self._plan.notes:
                self._session.sink(Warned(subject=self._plan.cluster, message=note))
        return None if self._to_stdout else self._homelab.merge_kubeconfig(self._path)

    def _closing(self, report: Report | None) -> str:
        machines = tables.counted(len(self._plan.machines), "machine")
        if report is None:
            return f"{self._plan.cluster}: {machines}, all Ready; nothing to do"
        lines = [
            f"{self._plan.cluster}: {machines}, all Ready, in {tables.seconds(report.took_s)}",
            f"phases: {tables.phases_text(report.phases)}",
        ]
        if report.longest_lane is not None:
            name, busy_s = report.longest_lane
            lines.append(f"longest lane: {name}, {tables.seconds(busy_s)}")
        return "\n".join([*lines, f"next: {self._next_command()}"])

    def _next_command(self) -> str:
        file = ["--kubeconfig", str(self._path)] if self._path is not None else []
        return shlex.join(["kubectl", *file, "--context", self._plan.cluster, "get", "nodes"])
