"""What plans of all commands have in common: who may not be disturbed, and which vmids are spoken for."""

from __future__ import annotations

from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.observed import Observed
from bootstrap.planning.checks.drift import unfinished_notes
from bootstrap.planning.members import out_of_sight
from bootstrap.planning.members.twins import check_twins, twin_lines
from bootstrap.planning.plan import Lane, Plan, PlannedMachine
from bootstrap.records.lock import lock_vmid, marker_of


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

    What every command says stands among the notes: machines out of sight, and those that have several VMs. Reserved are
    the vmids that anybody was seen to use, the marker's, and those of the plan's own machines.

    Raises:
        PreflightError: Something would be done about a machine that has several VMs.
    """
    check_twins(spec, observed, frozenset(lane.name for lane in lanes))
    hidden, doubled = out_of_sight.lines(spec, observed), twin_lines(spec, observed)
    planned = {machine.place.vmid for machine in machines}
    return Plan(
        command=command,
        cluster=spec.name,
        machines=machines,
        lanes=lanes,
        notes=(*hidden, *doubled, *notes, *unfinished_notes(spec, observed)),
        unreached=(*hidden, *doubled),
        reserved_vmids=observed.used_vmids | {lock_vmid(spec.placement.vmids)} | planned,
        vmids=spec.placement.vmids,
        marked=marker_of(spec.name, observed.vms) is not None,
    )
