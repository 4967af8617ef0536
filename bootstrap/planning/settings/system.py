"""Packages, kernel settings, files, hooks: what a machine is to have, what differs, how that is applied. Pure.

Nothing restarts for the first three, so machines are changed in parallel. What a hook does is not known, so hooks run
on one machine after another in a cluster that runs (`bootstrap.execution.hook_turns`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from bootstrap.advice import Advice
from bootstrap.k3s.hardening.cis import KERNEL, is_hardened
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineKind, MachineSpec
from bootstrap.model.settings.system import Difference, GuestSystem, HookSpec, HookTime, Part, SystemSpec
from bootstrap.planning.day2_steps import ApplySettings, PrepareSystem, RunHooks
from bootstrap.planning.members.desired_machines import MachineState, Need
from bootstrap.planning.plan import Action, Lane, LaneStep, PlannedMachine
from bootstrap.planning.steps import AwaitGuest

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView

T = TypeVar("T")


def system_of(spec: ClusterSpec, machine: MachineSpec) -> SystemSpec:
    """What a machine is to have: that of all machines and its pool's; in a container nothing of the kernel."""
    hardened = SystemSpec(sysctls=tuple(sorted(KERNEL.items()))) if is_hardened(spec) else SystemSpec()
    cni = SystemSpec(kernel_modules=spec.network.cni.kernel_modules)
    both = hardened.with_more(spec.system).with_more(cni).with_more(machine.system)
    return both.without_kernel if machine.kind is MachineKind.LXC else both


def packages_of_vms(spec: ClusterSpec) -> tuple[str, ...]:
    """The packages of all machines that are VMs, of whichever pool: those that a template for them has."""
    pools = [pool.system.packages for pool in spec.pools if pool.kind is MachineKind.VM]
    return tuple(sorted({*spec.system.packages, *(package for packages in pools for package in packages)}))


def prepare_step(spec: ClusterSpec, machine: MachineSpec) -> tuple[PrepareSystem, ...]:
    """The step before k3s on a machine that joins; none where nothing is wanted."""
    system = system_of(spec, machine)
    return (PrepareSystem(machine=machine.name, system=system),) if system.has_state else ()


def hook_step(spec: ClusterSpec, machine: MachineSpec, time: HookTime, version: str) -> tuple[RunHooks, ...]:
    """The step that runs the hooks of a time on a machine that joins; none where there are none."""
    hooks = system_of(spec, machine).at(time)
    return (RunHooks(machine=machine, hooks=hooks, version=version),) if hooks else ()


def comparable(view: ClusterView, all_states: Sequence[MachineState]) -> tuple[MachineState, ...]:
    """Machines that run in the cluster and are looked at: all where the inventory wants anything on any machine.

    Else those that are known to have something of an earlier inventory. The others get it all as they join.
    """
    wants = any(system_of(view.spec, each.machine) for each in all_states)
    return tuple(each for each in all_states if _runs(each) and (wants or each.name in view.observed.prepared))


def _runs(machine_state: MachineState) -> bool:
    each = machine_state
    return each.made and not (each.leaving or each.held) and each.need in (None, Need.LABELS)


@dataclass(frozen=True, kw_only=True)
class SystemChange:
    """A machine that runs and differs.

    Attributes:
        differs: In what, as `GuestSystem.differs`.
        version: Its k3s version.
    """

    machine: MachineSpec
    system: SystemSpec
    differs: tuple[Difference, ...]
    version: str

    @property
    def reason(self) -> str:
        """In what, in a few words."""
        hooks = [f"hook {hook.name}" for time in HookTime for hook in self.hooks(time)]
        return f"differs: {', '.join([*map(str, self.state), *hooks])}"

    @property
    def state(self) -> tuple[Difference, ...]:
        """In what it differs besides hooks."""
        return tuple(each for each in self.differs if each.hook is None)

    def hooks(self, time: HookTime) -> tuple[HookSpec, ...]:
        """The hooks of a time that have not run there."""
        due = {each.name for each in self.differs if each.hook is time}
        return tuple(hook for hook in self.system.at(time) if hook.name in due)

    def hook_steps(self, time: HookTime) -> tuple[LaneStep, ...]:
        """The step that runs them."""
        hooks = self.hooks(time)
        step = RunHooks(machine=self.machine, hooks=hooks, version=self.version, in_turn=True)
        return (LaneStep(step=step),) if hooks else ()

    @property
    def steps(self) -> tuple[LaneStep, ...]:
        """The steps before k3s restarts, if it does."""
        step = PrepareSystem(machine=self.machine.name, system=self.system, differs=self.state)
        prepare = (LaneStep(step=step),) if self.state else ()
        return (*prepare, *self.hook_steps(HookTime.BEFORE_K3S))


def system_changes(
    view: ClusterView, all_states: Sequence[MachineState], *, restarting: Collection[MachineName] = ()
) -> tuple[SystemChange, ...]:
    """The machines that differ, of those that were looked at.

    Of `restarting` those, too, that could not be looked at and whose kubelet ends over the kernel that it finds.
    """
    seen = {each.machine: each.differs for each in view.observed.systems}
    blind = {name for name in restarting if is_hardened(view.spec) and name not in seen}
    found: list[SystemChange] = []
    for each in comparable(view, all_states):
        system = system_of(view.spec, each.machine)
        unknown = tuple(Difference(Part.SYSCTL, name) for name, _ in system.sysctls) if each.name in blind else ()
        differs = seen.get(each.name, unknown)
        if differs:
            version = each.kube_node.version if each.kube_node is not None else ""
            found.append(SystemChange(machine=each.machine, system=system, differs=differs, version=version))
    return tuple(found)


def with_system(lanes: Sequence[Lane], changes: Sequence[SystemChange]) -> tuple[Lane, ...]:
    """The lanes with the changes: before k3s restarts with other settings, else at the end of a machine's lane."""
    by_name = {change.machine.name: change for change in changes}
    named = {lane.name for lane in lanes}
    own = (_extended(Lane(name=name, steps=()), change) for name, change in by_name.items())
    extended = (_extended(lane, by_name.get(MachineName(lane.name))) for lane in lanes)
    return (*extended, *(lane for lane in own if lane.name not in named))


def _extended(lane: Lane, change: SystemChange | None) -> Lane:
    if change is None or any(isinstance(each.step, PrepareSystem | RunHooks) for each in lane.steps):
        return lane
    met = any(isinstance(each.step, AwaitGuest) for each in lane.steps)
    first = () if met else (LaneStep(step=AwaitGuest(machine=change.machine.name)),)
    at = next((at for at, each in enumerate(lane.steps) if isinstance(each.step, ApplySettings)), len(lane.steps))
    last = change.hook_steps(HookTime.AFTER_READY)
    return replace(lane, steps=(*lane.steps[:at], *first, *change.steps, *lane.steps[at:], *last))


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
    changes = system_changes(view, all_states)
    machines = _machines_of((change.machine.name, change.differs) for change in changes)
    differing = (_problem(what, ", ".join(names)) for what, names in machines.items())
    return (*differing, *left_behind(view.observed.systems))


def _problem(what: Difference, machines: str) -> Advice:
    """What a difference means."""
    if what.part is Part.OBSOLETE_FILE:
        return Advice(
            "the file {} is no longer in the inventory ({}): `homelab-k8s up` removes it", what.name, machines
        )
    if what.hook is not None:
        return Advice("the {} hook {} has not run ({}): `homelab-k8s up` runs it", what.hook, what.name, machines)
    return Advice("{} differs from the inventory ({}): `homelab-k8s up`", what, machines)


def left_behind(systems: Sequence[GuestSystem]) -> tuple[str, ...]:
    """One line for all that was taken from the inventory and stays."""
    return (*_left_packages(systems), *_kept_files(systems))


def _kept_files(systems: Sequence[GuestSystem]) -> Iterator[str]:
    """One line for each file that was taken from the inventory, and that somebody has changed: it stays."""
    for path, names in _machines_of((each.machine, each.kept) for each in systems).items():
        yield Advice(
            "the file {} is no longer in the inventory, was changed on {} and stays; to remove it there: "
            "`homelab-k8s ssh {} -- sudo rm {}`",
            path,
            ", ".join(names),
            names[0],
            path,
        )


def _machines_of(found: Iterable[tuple[MachineName, tuple[T, ...]]]) -> Mapping[T, list[MachineName]]:
    """What machines have, each with those that have it."""
    machines: dict[T, list[MachineName]] = {}
    for machine, things in found:
        for each in things:
            machines.setdefault(each, []).append(machine)
    return machines


def _left_packages(systems: Sequence[GuestSystem]) -> Iterator[str]:
    """One line for each package that was taken from the inventory: it stays installed."""
    manager = {each.machine: each.manager or "apt-get" for each in systems}
    for package, names in _machines_of((each.machine, each.left) for each in systems).items():
        for command in dict.fromkeys(manager[name] for name in names):
            same = [name for name in names if manager[name] == command]
            yield Advice(
                "the package {} is no longer in the inventory and stays installed on {}; to remove it there: "
                "`homelab-k8s ssh {} -- sudo {} remove {}`",
                package,
                ", ".join(same),
                same[0],
                command,
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
