"""What plans of all commands have in common: who may not be disturbed, and which vmids are spoken for."""

from __future__ import annotations

from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.observed import Observed
from bootstrap.planning.drift import unfinished_notes
from bootstrap.planning.lock import lock_vmid, marker_of
from bootstrap.planning.plan import Lane, Plan, PlannedMachine


def bare_plan(
    command: str,
    spec: ClusterSpec,
    observed: Observed,
    *,
    machines: tuple[PlannedMachine, ...] = (),
    lanes: tuple[Lane, ...] = (),
    notes: tuple[str, ...] = (),
) -> Plan:
    """A plan of these machines and lanes.

    Reserved are the vmids that anybody was seen to use, the marker's, and those of the plan's own machines.
    """
    planned = {machine.place.vmid for machine in machines}
    return Plan(
        command=command,
        cluster=spec.name,
        machines=machines,
        lanes=lanes,
        notes=(*notes, *unfinished_notes(spec, observed)),
        reserved_vmids=observed.used_vmids | {lock_vmid(spec.placement.vmids)} | planned,
        vmids=spec.placement.vmids,
        marked=marker_of(spec.name, observed.vms) is not None,
    )
