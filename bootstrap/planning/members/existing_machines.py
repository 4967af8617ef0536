"""The machines that exist, for plans that keep them all and do something on each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bootstrap.k3s.topology_labels import with_topology
from bootstrap.model.machine import MachineSpec, RecordState, Role
from bootstrap.model.observed import VmRecord
from bootstrap.planning.members.desired_machines import as_it_is, machine_of, wanted_machines
from bootstrap.planning.members.pool_members import ordinal_of
from bootstrap.planning.plan import Action, Lane, Plan, PlannedMachine, VmPlace
from bootstrap.planning.plan_base import bare_plan
from bootstrap.planning.view import ClusterView


@dataclass(frozen=True, kw_only=True)
class Present:
    """A machine that has a VM; as wanted where it is, else as it stands."""

    machine: MachineSpec
    vm: VmRecord

    @property
    def is_server(self) -> bool:
        """Whether it is one of the control plane."""
        return self.machine.role is Role.CONTROL_PLANE


def present_machines(view: ClusterView) -> tuple[Present, ...]:
    """Every machine of the cluster that is more than an interrupted clone: servers first, then by pool and number.

    One that has several VMs is left out: it is unknown which of them it is.
    """
    doubled = view.twins
    wanted = {machine.name: machine for machine in wanted_machines(view)}
    found = [
        Present(
            machine=with_topology(
                view.spec, as_it_is(wanted.get(record.machine) or machine_of(vm, record), vm), vm.pve_node
            ),
            vm=vm,
        )
        for vm, record in view.machines
        if record.state is not RecordState.CLONING and record.machine not in doubled
    ]
    return tuple(sorted(found, key=lambda each: (not each.is_server, each.machine.pool, ordinal_of(each.machine.name))))


def plan_on(
    command: str,
    view: ClusterView,
    machines: Sequence[Present],
    *,
    lanes: tuple[Lane, ...],
    concerned: Callable[[Present], str] = lambda _machine: "",
    notes: tuple[str, ...] = (),
) -> Plan:
    """A plan that neither makes nor removes machines; `concerned` says what happens to one that has a lane.

    Raises:
        PreflightError: Another VM is where the marker of a running command would be.
    """
    named = {lane.name for lane in lanes}
    planned = tuple(
        PlannedMachine(
            spec=each.machine,
            place=VmPlace.of(each.machine.name, each.vm),
            action=Action.KEEP,
            reason=concerned(each) if each.machine.name in named else "",
        )
        for each in machines
    )
    return bare_plan(command, view, machines=planned, lanes=lanes, notes=notes)
