"""Plans `backup`: one healthy server takes a snapshot of the whole cluster's data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.planning.day2_steps import TakeSnapshot
from bootstrap.planning.healthy_server import needed_server
from bootstrap.planning.members.existing_machines import plan_on, present_machines
from bootstrap.planning.plan import Plan
from bootstrap.planning.provision.joining import access_lane
from bootstrap.planning.settings.snapshot_retention import kept_on_demand, upload_of
from bootstrap.records.snapshot_note import check_prefix, needed_bucket

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


def plan_backup(view: ClusterView, *, name: str, to: Path | None, s3: bool, keep: int | None = None) -> Plan:
    """Plan a snapshot.

    Args:
        view: The cluster, as wanted and as seen.
        name: What the snapshot's name begins with.
        to: A local directory that it is also copied to, with its token.
        s3: Whether it must also be in the inventory's bucket; else that is tried, where there is one.
        keep: How many of this name stay wherever it goes; None: as many as the inventory says, and all locally.

    Raises:
        PreflightError: No server can take it, or the name or the bucket will not do.
    """
    check_prefix(name)
    if s3:
        needed_bucket(view.spec)
    server = needed_server(view)
    upload, kept = upload_of(view.spec, asked=s3), keep or kept_on_demand(view.spec)
    take = TakeSnapshot(machine=server.name, name=name, to=to, upload=upload, keep=kept, keep_here=keep)
    return plan_on(
        "backup",
        view,
        present_machines(view),
        lanes=(access_lane(view.spec, server, take),),
        concerned=lambda _machine: "takes the snapshot",
        notes=()
        if to is None
        else (f"anyone who can read {to} can read the cluster's secrets: the token is stored next to the snapshot",),
    )
