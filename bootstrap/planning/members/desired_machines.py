"""Which machines the cluster is to have, and the state of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from bootstrap.k3s.topology_labels import with_topology
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineKind, MachineRecord, MachineSpec, NodePool, RecordState, Role
from bootstrap.model.observed import VmRecord
from bootstrap.planning.capacity.address_ranges import with_addresses
from bootstrap.planning.members.pool_members import Seen, names, staying
from bootstrap.planning.members.unreachable import Unreachable
from bootstrap.planning.provision.successors import with_successors
from bootstrap.planning.view import ClusterView
from bootstrap.proxmox.macs import wanted_mac
from bootstrap.records.vms.notes import notes_in

MACHINE_LABEL = "homelab-k8s/machine"
"""The Kubernetes label of machines that are no VMs."""


def wanted_machines(view: ClusterView) -> tuple[MachineSpec, ...]:
    """All machines the inventory asks for, servers first, with addresses where the range gives them.

    A machine that exists keeps the address its record names; the others get the lowest free ones.

    Raises:
        PreflightError: The range is used up.
    """
    macs = _macs(view)
    machines = tuple(
        MachineSpec(
            name=name,
            role=pool.role,
            pool=pool.name,
            mac=macs[name] if name in macs else wanted_mac(view.spec, name),
            **pool.shape() | {"labels": _labels(pool)} | _marks(view, pool, name),
        )
        for pool in view.spec.pools
        for name in names(view, pool)
    )
    return with_addresses(with_successors(view, machines), view)


def _labels(pool: NodePool) -> tuple[tuple[str, str], ...]:
    """The pool's labels; containers have one more, so that pods can avoid them."""
    if pool.kind is MachineKind.VM:
        return pool.labels
    return tuple(sorted(({MACHINE_LABEL: pool.kind.value} | dict(pool.labels)).items()))


def _marks(view: ClusterView, pool: NodePool, name: MachineName) -> dict[str, Any]:
    """The tags and notes of a machine's VM; without an inventory file, a machine that exists keeps those it has."""
    spec, vm = view.spec, view.vm_of.get(name)
    if not spec.states_settings and vm is not None and vm.record is not None:
        return {"tags": vm.record.tags, "notes": notes_in(vm.description)}
    return {"tags": tuple(sorted({*spec.tags, *pool.tags})), "notes": pool.notes or spec.notes}


def _macs(view: ClusterView) -> dict[MachineName, str | None]:
    """The MAC addresses of machines that exist, and of machines that a rebuild makes again."""
    macs = {kept.name: kept.mac for kept in view.spec.kept if kept.mac is not None}
    return macs | {record.machine: vm.mac for vm, record in view.machines if record.state is not RecordState.CLONING}


class Need(StrEnum):
    """Why something has to be done about a machine; the values are what users read."""

    VM = "VM missing"
    REST_OF_VM = "VM creation was interrupted"
    START = "not running"
    JOIN = "not joined to the cluster"
    READY = "not Ready"
    LABELS = "labels or taints differ"


@dataclass(frozen=True, kw_only=True)
class MachineState(Seen):
    """A wanted machine, and what exists of it.

    Attributes:
        held: Why it must be left alone, in a few words; else empty.
    """

    machine: MachineSpec
    held: str = ""

    @property
    def name(self) -> MachineName:
        """The machine's."""
        return self.machine.name

    @property
    def is_server(self) -> bool:
        """Whether it is one of the control plane."""
        return self.machine.role is Role.CONTROL_PLANE

    @property
    def missing(self) -> bool:
        """Whether it has no VM for sure, so that one may be made."""
        return self.vm is None and not self.held

    @property
    def doubtful(self) -> bool:
        """Whether it is unknown if it is missing or one of the unreachable machines."""
        by_name = self.unreachable is not None and self.unreachable.name == self.name
        return self.vm is None and bool(self.held) and not by_name

    @property
    def shown(self) -> bool:
        """Whether a plan that leaves it as it is shows it: it has a VM, even if unreachable."""
        return self.vm is not None or self.unreachable is not None

    @property
    def need(self) -> Need | None:
        """Why something has to be done about it; None where nothing has, or nothing may."""
        if self.held:
            return None
        if self.vm is None or self.interrupted:
            return Need.VM if self.vm is None else Need.REST_OF_VM
        if self.vm.idle:
            return Need.START
        if self.kube_node is None:
            return Need.JOIN
        if not self.ready:
            return Need.READY
        labelled = set(self.machine.labels) <= set(self.kube_node.labels)
        return None if labelled and set(self.machine.taints) <= set(self.kube_node.taints) else Need.LABELS

    @property
    def reason(self) -> str:
        """The same for the user, in a few words; empty for None."""
        if self.need is Need.START and self.vm is not None:
            return self.vm.idle
        problem = self.kube_node.problem if self.need is Need.READY and self.kube_node is not None else ""
        return f"{self.need or ''} ({problem})" if problem else f"{self.need or ''}"


def machine_states(view: ClusterView) -> tuple[MachineState, ...]:
    """Each wanted machine with its VM and Kubernetes node, in order."""
    bare = tuple(
        MachineState(
            machine=as_it_is(with_topology(view.spec, machine, vm.pve_node if vm else None), vm),
            vm=vm,
            kube_node=view.kube_nodes.get(machine.name),
            held="exists more than once" if machine.name in view.twins else "",
        )
        for machine in wanted_machines(view)
        for vm in (view.vm_of.get(machine.name),)
    )
    return _with_unreachable(bare, view.unreachable)


def _with_unreachable(bare: tuple[MachineState, ...], unreachable: Unreachable) -> tuple[MachineState, ...]:
    """The same, with the unreachable VMs: a missing machine may be any whose name is not known."""
    if not unreachable.vms:
        return bare
    missing = [
        machine_state
        for machine_state in bare
        if machine_state.vm is None and machine_state.name not in unreachable.named
    ]
    # One that Kubernetes has a node of has been there.
    likely = sorted(missing, key=lambda machine_state: machine_state.kube_node is None)
    guesses = {machine_state.name: vm for machine_state, vm in zip(likely, unreachable.unnamed, strict=False)}

    def held(machine_state: MachineState) -> MachineState:
        name = machine_state.name
        if machine_state.vm is not None:
            return machine_state
        if name in unreachable.named:
            return replace(machine_state, unreachable=unreachable.named[name], held="is unreachable")
        if unreachable.blind:
            return replace(machine_state, unreachable=guesses.get(name), held="may be an unreachable machine")
        return machine_state

    return tuple(map(held, bare))


def as_it_is(machine: MachineSpec, vm: VmRecord | None) -> MachineSpec:
    """A machine that exists stays a VM or a container, even if its pool says otherwise now; `replace` changes that."""
    if vm is None or vm.kind is machine.kind:
        return machine
    labels = tuple(label for label in machine.labels if label[0] != MACHINE_LABEL)
    return replace(machine, kind=vm.kind, labels=labels)


def machine_of(vm: VmRecord, record: MachineRecord) -> MachineSpec:
    """The machine that a VM is now: sizes are the VM's, labels and taints are not known."""
    return MachineSpec(
        name=record.machine,
        role=record.role,
        pool=record.pool,
        cores=vm.cores,
        memory_mib=vm.memory_mib,
        disk_gib=vm.disk_gib,
        cpu_type=vm.cpu_type,
        kind=vm.kind,
        address=record.address,
    )


def login_user(spec: ClusterSpec, vm: VmRecord) -> str:
    """Who logs in: containers have no cloud-init to make the inventory's user, and their key is root's."""
    return "root" if vm.kind is MachineKind.LXC else spec.ssh.user


def surplus(view: ClusterView) -> tuple[VmRecord, ...]:
    """The cluster's machines that the inventory no longer asks for, and the ones that are being removed."""
    wanted = {member.name for pool in view.spec.pools for member in staying(view, pool)}
    return tuple(vm for vm, record in view.machines if record.machine not in wanted)
