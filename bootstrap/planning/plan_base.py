"""What the plans of all verbs have in common: machines that nothing is done to, and reserved vmids."""

from __future__ import annotations

from bootstrap.planning.checks.drift import unfinished_notes
from bootstrap.planning.members.twins import check_twins, twin_lines
from bootstrap.planning.members.unreachable import unreachable_lines
from bootstrap.planning.plan import Lane, Plan, PlannedMachine
from bootstrap.planning.view import ClusterView
from bootstrap.records.vms.lock import check_lock_place, lock_vmid, marker_of


def bare_plan(
    command: str,
    view: ClusterView,
    *,
    machines: tuple[PlannedMachine, ...] = (),
    lanes: tuple[Lane, ...] = (),
    notes: tuple[str, ...] = (),
) -> Plan:
    """A plan of these machines and lanes.

    The notes name unreachable machines, and those that have several VMs. Reserved are all vmids that are in use, the
    marker's, and those of the plan's own machines.

    Raises:
        PreflightError: Something would be done to a machine that has several VMs, or another VM has the marker's vmid.
    """
    if lanes:
        check_lock_place(view.spec, view.observed.vms)
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
