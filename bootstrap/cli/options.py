"""Options that several commands share, and what a test hands in instead of the real adapters."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.cli.completing import cluster_names
from bootstrap.cli.documents import Output
from bootstrap.cli.views.choose import Progress

if TYPE_CHECKING:
    from bootstrap.planning.leaving import DrainRules
    from bootstrap.ports import Ports

InventoryFile = Annotated[
    Path | None,
    typer.Option(
        "--inventory",
        "-i",
        metavar="FILE",
        help="The inventory. Without it: homelab-k8s.yaml here, else the environment (PROXMOX_VE_*) and defaults.",
    ),
]
Cluster = Annotated[
    str | None, typer.Option("--cluster", metavar="NAME", help="The cluster's name.", autocompletion=cluster_names)
]
Workers = Annotated[int | None, typer.Option("--workers", metavar="N", help="How many workers.")]
ControlPlanes = Annotated[
    int | None, typer.Option("--control-planes", metavar="N", help="How many servers: 1, or 3 and more, odd.")
]


class Guests(StrEnum):
    """What gives the lab's VMs life."""

    AUTO = "auto"
    CONTAINER = "container"
    QEMU = "qemu"
    SIMULATED = "simulated"
    NONE = "none"


LabGuests = Annotated[
    Guests | None, typer.Option("--guests", help="With --lab: what gives the VMs of a lab that is started life.")
]
Lab = Annotated[bool, typer.Option("--lab", help="Use the lab, a Proxmox VE in a box on this machine.")]
OutputForm = Annotated[Output, typer.Option("--output", "-o", help="Form of the result on stdout.")]
ProgressForm = Annotated[Progress, typer.Option("--progress", help="How progress shows on stderr.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan on stdout and touch nothing.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", min=1.0, help="End the whole run after this long.")
]
Trace = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the run there as Chrome trace events (Perfetto opens them)."),
]


DeleteEmptydirData = Annotated[
    bool,
    typer.Option(
        "--delete-emptydir-data", help="Also evict pods with emptyDir volumes, whose content is lost (as kubectl's)."
    ),
]
DeleteLocalData = Annotated[bool, typer.Option("--delete-local-data", hidden=True)]
"""The old name."""
Force = Annotated[bool, typer.Option("--force", help="Drain pods too that no controller brings back.")]
DrainTimeout = Annotated[
    float,
    typer.Option("--drain-timeout", metavar="SECONDS", min=1.0, help="How long each machine's pods may take to go."),
]
DRAIN_TIMEOUT_S = 300.0


def drain_rules(*, force: bool, timeout_s: float) -> DrainRules:
    """What these two options say; of emptyDir volumes the user is asked, see `emptydir`."""
    from bootstrap.planning.leaving import DrainRules

    return DrainRules(delete_bare=force, timeout_s=timeout_s)


def ports_of(context: typer.Context) -> Ports | None:
    """The ports a caller put in as the context's object (tests do); None for the real adapters."""
    from bootstrap.ports import Ports

    return context.obj if isinstance(context.obj, Ports) else None
