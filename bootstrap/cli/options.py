"""Options that several commands share, alone and in groups, and the adapters that a test passes in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.cli.completing import cluster_names
from bootstrap.cli.text.documents import Output
from bootstrap.cli.views.choose import Progress

if TYPE_CHECKING:
    from bootstrap.planning.provision.decommission import DrainRules
    from bootstrap.ports import Ports

Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="Number of workers; default: the inventory's.")
]
ControlPlanes = Annotated[
    int | None,
    typer.Option(
        "--control-planes",
        metavar="N",
        help="Number of control-plane nodes, odd (1, 3, 5, 7); default: the inventory's.",
    ),
]


class Guests(StrEnum):
    """The guest backend of the lab."""

    AUTO = "auto"
    CONTAINER = "container"
    QEMU = "qemu"
    SIMULATED = "simulated"
    NONE = "none"


LabGuests = Annotated[
    Guests | None, typer.Option("--guests", help="With --lab: guest backend of the lab: container, qemu or simulated.")
]
Lab = Annotated[bool, typer.Option("--lab", help="Use the lab, a local Proxmox VE stand-in.")]
OutputForm = Annotated[Output, typer.Option("--output", "-o", help="Output format.")]
ProgressForm = Annotated[Progress, typer.Option("--progress", help="Style of the progress output.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Parallel = Annotated[
    int,
    typer.Option(
        "--parallel",
        "--max-unavailable",
        metavar="N",
        min=1,
        help="Number of workers that are drained and changed at the same time; servers always one by one.",
    ),
]

DetachDisks = Annotated[
    bool,
    typer.Option(
        "--detach-disks",
        help="Remove VMs too that hold disks of Kubernetes volumes; these are detached and stay on their storage.",
    ),
]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Source:
    """For commands on all clusters of a Proxmox VE."""

    context: typer.Context
    inventory: Annotated[
        Path | None,
        typer.Option(
            "--inventory",
            "-i",
            metavar="FILE",
            help="Inventory file. Default: ./homelab-k8s.yaml; without that file, the PROXMOX_VE_* variables and "
            "defaults.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Target(Source):
    """For commands on one cluster."""

    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="NAME",
            help="Name of the cluster; default: the inventory's, or homelab.",
            autocompletion=cluster_names,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Common:
    """For every command that works on clusters."""

    lab: Lab = False
    progress: ProgressForm = Progress.AUTO
    output: OutputForm = Output.TEXT


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Acting:
    """For commands that change something."""

    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", metavar="SECONDS", min=1.0, help="Stop the whole run after this time; default: never."
        ),
    ] = None
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a timeline of the run to this file (Chrome trace events; open it in Perfetto)."
        ),
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and change nothing.")] = False
    yes: Yes = False
    common: Common


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Draining:
    """For commands that drain nodes."""

    delete_emptydir_data: Annotated[
        bool,
        typer.Option(
            "--delete-emptydir-data",
            help="Also evict pods that use emptyDir volumes; their data is lost (as in kubectl drain).",
        ),
    ] = False
    delete_local_data: Annotated[bool, typer.Option("--delete-local-data", hidden=True)] = False
    """The old name."""
    force: Annotated[
        bool, typer.Option("--force", help="Also evict pods that no controller manages (as kubectl drain --force).")
    ] = False
    drain_timeout: Annotated[
        float,
        typer.Option("--drain-timeout", metavar="SECONDS", min=1.0, help="Timeout for draining each node."),
    ] = 300.0

    def rules(self, *, detach_disks: bool = False) -> DrainRules:
        """The rules for a drain; where they keep emptyDir volumes, `asking.emptydir` asks the user."""
        from bootstrap.planning.provision.decommission import DrainRules

        return DrainRules(
            delete_bare=self.force,
            delete_local_data=self.delete_emptydir_data or self.delete_local_data,
            detach_disks=detach_disks,
            timeout_s=self.drain_timeout,
        )


def ports_of(context: typer.Context) -> Ports | None:
    """The ports in the context's object (tests pass them); None for the real adapters."""
    from bootstrap.ports import Ports

    return context.obj if isinstance(context.obj, Ports) else None
