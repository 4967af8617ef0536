"""Plans `backup`: one healthy server takes a snapshot of the whole cluster's data."""

from __future__ import annotations

from pathlib import Path

from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.observed import Observed
from bootstrap.planning.day2_steps import TakeSnapshot
from bootstrap.planning.healthy_server import needed_server
from bootstrap.planning.members.existing_machines import plan_on, present_machines
from bootstrap.planning.plan import LaneStep, Plan
from bootstrap.planning.provision.joining import access_lane
from bootstrap.planning.settings.snapshot_retention import kept_on_demand, upload_of
from bootstrap.records.snapshot_note import check_prefix, needed_bucket


def plan_backup(spec: ClusterSpec, observed: Observed, *, name: str, to: Path | None, s3: bool) -> Plan:
    """Plan a snapshot.

    Args:
        spec: The cluster.
        observed: What there is.
        name: What the snapshot's name begins with.
        to: A directory here that it is fetched into as well, with its token.
        s3: Whether it must be in the inventory's bucket as well; else that is tried, where there is one.

    Raises:
        PreflightError: No server can take it, or the name or the bucket will not do.
    """
    check_prefix(name)
    if s3:
        needed_bucket(spec)
    server = needed_server(spec, observed)
    upload, keep = upload_of(spec, asked=s3), kept_on_demand(spec)
    take = LaneStep(step=TakeSnapshot(machine=server.name, name=name, to=to, upload=upload, keep=keep))
    return plan_on(
        "backup",
        spec,
        observed,
        present_machines(spec, observed),
        lanes=(access_lane(spec, server, further=(take,)),),
        concerned="takes the snapshot",
        notes=_notes(to),
    )


def _notes(to: Path | None) -> tuple[str, ...]:
    if to is None:
        return ()
    return (f"whoever can read {to} can read the cluster's secrets: the token lies beside the snapshot",)
