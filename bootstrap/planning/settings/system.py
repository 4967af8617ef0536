"""Packages and kernel settings: what a machine is to have, in what it differs, and how that is applied. Pure.

Nothing restarts for them, so machines are changed in parallel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineKind, MachineSpec
from bootstrap.model.system import GuestSystem, SystemSpec
from bootstrap.planning.day2_steps import ApplySettings, PrepareSystem
from bootstrap.planning.members.desired_machines import MachineState, Need
from bootstrap.planning.plan import Action, Lane, LaneStep, PlannedMachine
from bootstrap.planning.steps import AwaitGuest

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


def system_of(spec: ClusterSpec, machine: MachineSpec) -> SystemSpec:
    """What a machine is to have: that of all machines and its pool's; in a container only packages."""
    both = spec.system.with_more(machine.system)
    return both.packages_only if machine.kind is MachineKind.LXC else both


def prepare_step(spec: ClusterSpec, machine: MachineSpec) -> tuple[PrepareSystem, ...]:
    """The step before k3s on a machine that joins; none where nothing is wanted."""
    system = system_of(spec, machine)
    return (PrepareSystem(machine=machine.name, system=system),) if system else ()


def comparable(view: ClusterView, all_states: Sequence[MachineState]) -> tuple[MachineState, ...]:
    """Machines that run in the cluster and are looked at: none where the inventory wants nothing on any machine.

    The others get packages and settings as they join.
    """
    if not any(system_of(view.spec, each.machine) for each in all_states):
        return ()
    return tuple(each for each in all_states if _runs(each))


def _runs(machine_state: MachineState) -> bool:
    each = machine_state
    return each.made and not (each.leaving or each.held) and each.need in (None, Need.LABELS)


@dataclass(frozen=True, kw_only=True)
class SystemChange:
    """A machine that runs and differs."""

    machine: MachineSpec
    system: SystemSpec
    differs: tuple[str, ...]

    @property
    def reason(self) -> str:
        """In what, in a few words."""
        return f"differs: {', '.join(self.differs)}"


def system_changes(view: ClusterView, all_states: Sequence[MachineState]) -> tuple[SystemChange, ...]:
    """The machines that differ, of those that were looked at."""
    seen = {each.machine: each for each in view.observed.systems}
    return tuple(
        SystemChange(
            machine=each.machine,
            system=system_of(view.spec, each.machine),
            differs=seen[each.name].differs,
        )
        for each in comparable(view, all_states)
        if each.name in seen and seen[each.name].differs
    )


def with_system(lanes: Sequence[Lane], changes: Sequence[SystemChange]) -> tuple[Lane, ...]:
    """The lanes with the changes: before k3s restarts with other settings, else at the end of a machine's lane."""
    by_name = {change.machine.name: change for change in changes}
    named = {lane.name for lane in lanes}
    own = (Lane.of(name, AwaitGuest(machine=name), _step(change)) for name, change in by_name.items())
    extended = (_extended(lane, by_name.get(MachineName(lane.name))) for lane in lanes)
    return (*extended, *(lane for lane in own if lane.name not in named))


def _step(change: SystemChange) -> PrepareSystem:
    return PrepareSystem(machine=change.machine.name, system=change.system, differs=change.differs)


def _extended(lane: Lane, change: SystemChange | None) -> Lane:
    if change is None or any(isinstance(each.step, PrepareSystem) for each in lane.steps):
        return lane
    met = any(isinstance(each.step, AwaitGuest) for each in lane.steps)
    first = () if met else (LaneStep(step=AwaitGuest(machine=change.machine.name)),)
    at = next((at for at, each in enumerate(lane.steps) if isinstance(each.step, ApplySettings)), len(lane.steps))
    return replace(lane, steps=(*lane.steps[:at], *first, LaneStep(step=_step(change)), *lane.steps[at:]))


def shown_changed(machines: Sequence[PlannedMachine], changes: Sequence[SystemChange]) -> tuple[PlannedMachine, ...]:
    """The plan's machines, those that nothing else is done about with what differs."""
    by_name: Mapping[MachineName, SystemChange] = {change.machine.name: change for change in changes}
    return tuple(
        replace(each, action=Action.CONFIGURE, reason=by_name[each.spec.name].reason)
        if each.spec.name in by_name and each.action is Action.KEEP
        else each
        for each in machines
    )


def system_problems(view: ClusterView, all_states: Sequence[MachineState]) -> tuple[str, ...]:
    """One line for each difference, with the machines that have it."""
    machines: dict[str, list[MachineName]] = {}
    for change in system_changes(view, all_states):
        for what in change.differs:
            machines.setdefault(what, []).append(change.machine.name)
    differing = (
        Advice("{} differs from the inventory ({}): `homelab-k8s up`", what, ", ".join(names))
        for what, names in machines.items()
    )
    return (*differing, *left_packages(view.observed.systems))


def left_packages(systems: Sequence[GuestSystem]) -> Iterator[str]:
    """One line for each package that was taken from the inventory: it stays installed."""
    machines: dict[str, list[str]] = {}
    for each in systems:
        for package in each.left:
            machines.setdefault(package, []).append(each.machine)
    for package, names in machines.items():
        yield Advice(
            "the package {} is no longer in the inventory and stays installed on {}; to remove it there: "
            "`homelab-k8s ssh {} -- sudo apt-get remove {}`",
            package,
            ", ".join(names),
            names[0],
            package,
        )


def container_notes(view: ClusterView, all_states: Sequence[MachineState]) -> Iterator[str]:
    """That the kernel settings of all machines are not those of containers."""
    names = [each.name for each in all_states if each.machine.kind is MachineKind.LXC]
    if names and view.spec.system.has_kernel_settings:
        yield (
            f"sysctls and kernel_modules do not apply to containers ({', '.join(names)}), which have their Proxmox "
            "node's kernel: set them on the Proxmox node (docs/lxc.md)"
        )
