"""Unreachable machines that the user has declared lost, and the new machines that replace them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec, NodePool, RecordState, Replaced
from bootstrap.model.observed import Observed, UnreachableVm, VmRecord
from bootstrap.planning.members.pool_members import machine_name, ordinal_of
from bootstrap.planning.members.unreachable import where

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


def declare_lost(view: ClusterView, names: Sequence[MachineName]) -> Observed:
    """What is seen, with machines declared lost: they no longer count, and each gets a successor.

    Raises:
        PreflightError: One of them is reachable, or it is unknown which VM it is.
    """
    named, unnamed = view.unreachable.named, view.unreachable.unnamed
    wanted = [name for name in dict.fromkeys(names) if name not in view.replaced_names]
    others = [name for name in wanted if name not in named]
    if others:
        _check(view, others)
    lost = [Replaced(machine=name, vmid=named[name].vmid) for name in wanted if name in named]
    # Which of the VMs without a name is which machine does not matter: all of them are lost.
    lost += [Replaced(machine=name, vmid=vm.vmid) for name in others for vm in unnamed]
    return replace(view.observed, declared_lost=tuple(lost))


def _check(view: ClusterView, names: Sequence[MachineName]) -> None:
    """Refuse names that are no unreachable machine's."""
    unreachable = view.unreachable
    wrong = [name for name in names if name in view.vm_of or pool_of(view.spec, name) is None]
    if wrong or not unreachable.unnamed:
        raise PreflightError(
            f"no unreachable machine is called {', '.join(wrong or names)}; nothing was changed",
            details=_listed(unreachable.vms) or f"no machine of {view.spec.name} is",
            resolution=Advice(
                "`homelab-k8s status` lists the machines; `homelab-k8s replace NAME` replaces a reachable one"
            ),
        )
    if len(names) != len(unreachable.unnamed):
        raise PreflightError(
            f"it is unknown which VM is {', '.join(names)}; nothing was changed",
            details=_listed(unreachable.unnamed),
            resolution=f"pass all {len(unreachable.unnamed)} unreachable machines as --replace-unreachable, or bring "
            "the Proxmox node back",
        )


def _listed(vms: Sequence[UnreachableVm]) -> str:
    return "\n".join(f"{vm.name or 'name not known'} ({where(vm)})" for vm in vms)


def pool_of(spec: ClusterSpec, name: MachineName) -> NodePool | None:
    """The pool that a machine's name belongs to, or None."""
    number = ordinal_of(name)
    return next((pool for pool in spec.pools if number and machine_name(spec.name, pool, number) == name), None)


def with_returned(view: ClusterView) -> Observed:
    """What is seen, with machines that are back though they have successors marked as being removed."""

    def marked(vm: VmRecord) -> VmRecord:
        record = vm.record
        if record is None or record.state is RecordState.CLONING:
            return vm
        is_back = Replaced(machine=record.machine, vmid=vm.vmid) in view.replaced
        return replace(vm, record=replace(record, state=RecordState.LEAVING)) if is_back else vm

    return replace(view.observed, vms=tuple(map(marked, view.observed.vms)))


def with_successors(view: ClusterView, machines: tuple[MachineSpec, ...]) -> tuple[MachineSpec, ...]:
    """The machines, with those they replace: by their records, or since they have just been declared lost.

    Raises:
        PreflightError: The pool of one that was declared lost needs no further machine.
    """
    chosen = {record.machine: record.replaces for _, record in view.machines if record.replaces}
    there = {*view.vm_of, *view.unreachable.named}
    lost: defaultdict[MachineName, list[Replaced]] = defaultdict(list)
    for old in view.observed.declared_lost:
        lost[old.machine].append(old)
    for name, replaced in lost.items():
        free = [machine for machine in machines if machine.name not in {*there, *chosen}]
        chosen[_heir(view, name, free)] = tuple(replaced)
    return tuple(replace(machine, replaces=chosen.get(machine.name, machine.replaces)) for machine in machines)


def _heir(view: ClusterView, name: MachineName, free: Sequence[MachineSpec]) -> MachineName:
    """The new machine that replaces a lost one: the first of its pool."""
    pool = pool_of(view.spec, name)
    heir = next((machine.name for machine in free if pool is not None and machine.pool == pool.name), None)
    if heir is None:
        raise PreflightError(
            f"no machine would replace {name}: its pool needs no more machines; nothing was changed",
            resolution="bring its Proxmox node back, or raise the pool's count in the inventory",
        )
    return heir
