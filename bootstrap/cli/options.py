"""Options that several commands share, and what a test hands in instead of the real adapters."""

from __future__ import annotations

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

InventoryFile = Annotated[
    Path | None,
    typer.Option(
        "--inventory",
        "-i",
        metavar="FILE",
        help="Inventory file. Default: ./homelab-k8s.yaml; without that file, the PROXMOX_VE_* variables and defaults.",
    ),
]
Cluster = Annotated[
    str | None, typer.Option("--cluster", metavar="NAME", help="Name of the cluster.", autocompletion=cluster_names)
]
Workers = Annotated[int | None, typer.Option("--workers", metavar="N", help="Number of workers.")]
ControlPlanes = Annotated[
    int | None,
    typer.Option("--control-planes", metavar="N", help="Number of control-plane nodes, an odd number (1, 3, 5, 7)."),
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
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and change nothing.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", min=1.0, help="Stop the whole run after this time.")
]
Trace = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Write a timeline of the run to this file (Chrome trace events; open it in Perfetto)."
    ),
]


DeleteEmptydirData = Annotated[
    bool,
    typer.Option(
        "--delete-emptydir-data",
        help="Also evict pods that use emptyDir volumes; their data is lost (as in kubectl drain).",
    ),
]
DeleteLocalData = Annotated[bool, typer.Option("--delete-local-data", hidden=True)]
"""The old name."""
Force = Annotated[
    bool, typer.Option("--force", help="Also evict pods that no controller manages (as kubectl drain --force).")
]
DrainTimeout = Annotated[
    float,
    typer.Option("--drain-timeout", metavar="SECONDS", min=1.0, help="Timeout for draining each node."),
]
DRAIN_TIMEOUT_S = 300.0


def drain_rules(*, force: bool, timeout_s: float, delete_emptydir_data: bool) -> DrainRules:
    """What these options say; where emptyDir volumes may not be lost by them, the user is asked, see `emptydir`."""
    from bootstrap.planning.provision.decommission import DrainRules

    return DrainRules(delete_bare=force, delete_local_data=delete_emptydir_data, timeout_s=timeout_s)


def ports_of(context: typer.Context) -> Ports | None:
    """The ports a caller put in as the context's object (tests do); None for the real adapters."""
    from bootstrap.ports import Ports

    return context.obj if isinstance(context.obj, Ports) else None
