"""What plans of all commands have in common: who may not be disturbed, and which vmids are spoken for."""

from __future__ import annotations

from bootstrap.planning.checks.drift import unfinished_notes
from bootstrap.planning.members.twins import check_twins, twin_lines
from bootstrap.planning.members.unreachable import unreachable_lines
from bootstrap.planning.plan import Lane, Plan, PlannedMachine
from bootstrap.planning.view import ClusterView
from bootstrap.records.vms.lock import lock_vmid, marker_of


def bare_plan(
    command: str,
    view: ClusterView,
    *,
    machines: tuple[PlannedMachine, ...] = (),
    lanes: tuple[Lane, ...] = (),
    notes: tuple[str, ...] = (),
) -> Plan:
    """A plan of these machines and lanes.

    What every command says stands among the notes: unreachable machines, and those that have several VMs. Reserved are
    the vmids that anybody was seen to use, the marker's, and those of the plan's own machines.

    Raises:
        PreflightError: Something would be done about a machine that has several VMs.
    """
    check_twins(view, frozenset(lane.name for lane in lanes))
    hidden, doubled = unreachable_lines(view), twin_lines(view)
    planned = {machine.place.vmid for machine in machines}
    return Plan(
        command=command,
        cluster=view.spec.name,
        machines=machines,
        lanes=lanes,
        notes=(*hidden, *doubled, *notes, *unfinished_notes(view)),
        unreached=(*hidden, *doubled),
        reserved_vmids=view.observed.used_vmids | {lock_vmid(view.spec.placement.vmids)} | planned,
        vmids=view.spec.placement.vmids,
        seen=view.observed,
        marked=marker_of(view.spec.name, view.observed.vms) is not None,
    )
