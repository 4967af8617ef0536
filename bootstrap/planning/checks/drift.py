"""What differs from the inventory and is left as it is by `up`: named, and each with the command that fixes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.k3s.versions import K3sVersion, parse_version
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.machine import MachineKind, RecordState
from bootstrap.model.observed import KubeNode
from bootstrap.planning.members.desired_machines import MachineState, surplus
from bootstrap.planning.view import ClusterView


def notes_on_drift(view: ClusterView, all_states: Sequence[MachineState]) -> tuple[str, ...]:
    """One line for each difference that `up` does not touch."""
    return (
        *_sizes(view, all_states),
        *_kinds(view.spec, all_states),
        *_surplus(view),
        *_cordoned(view),
        *_versions(view),
        *unused_notes(view),
    )


def differing_sizes(machine_state: MachineState) -> tuple[str, ...]:
    """In what a machine's VM is not as its pool says: `2 cores instead of 4`; a larger disk does not count."""
    vm, machine = machine_state.vm, machine_state.machine
    if vm is None or not machine_state.made:
        return ()
    sizes = (
        (vm.cores, machine.cores, "cores", vm.cores != machine.cores),
        (vm.memory_mib, machine.memory_mib, "MiB of memory", vm.memory_mib != machine.memory_mib),
        (vm.disk_gib, machine.disk_gib, "GiB of disk", vm.disk_gib < machine.disk_gib),
    )
    differs = [f"{have} {unit} instead of {want}" for have, want, unit, is_other in sizes if have and is_other]
    if machine.cpu_type and vm.cpu_type and vm.cpu_type != machine.cpu_type:
        differs.append(f"the CPU type {vm.cpu_type} instead of {machine.cpu_type}")
    return tuple(differs)


def _sizes(view: ClusterView, all_states: Sequence[MachineState]) -> Iterator[str]:
    for machine_state in all_states:
        name, differs = machine_state.name, differing_sizes(machine_state)
        if not differs:
            continue
        text = f"{name} has {' and '.join(differs)}, and `up` does not resize existing machines"
        if machine_state.is_server and view.on_sqlite:
            # A sqlite server cannot hand its data over, so `replace` refuses it.
            yield Advice("{}: `homelab-k8s rebuild --restore latest`", text)
        else:
            yield Advice("{}: `homelab-k8s replace {}`", text, name)


def _kinds(spec: ClusterSpec, all_states: Sequence[MachineState]) -> Iterator[str]:
    """Machines that are VMs where the inventory says containers, or the other way round."""
    wanted = {pool.name: pool.kind for pool in spec.pools}
    words = {MachineKind.VM: "a VM", MachineKind.LXC: "a container"}
    for machine_state in all_states:
        machine = machine_state.machine
        if machine_state.vm is not None and machine_state.vm.kind is not wanted[machine.pool]:
            yield Advice(
                "{} is {}, and the inventory says machine: {}: `homelab-k8s replace {}`",
                machine.name,
                words[machine_state.vm.kind],
                wanted[machine.pool],
                machine.name,
            )


def _surplus(view: ClusterView) -> Iterator[str]:
    pools = {pool.name for pool in view.spec.pools}
    succeeded = {(old.machine, old.vmid) for old in view.replaced}
    for vm in surplus(view):
        if vm.record is None:
            continue
        if (vm.record.machine, vm.vmid) in succeeded:
            yield Advice("{} was replaced, and its Proxmox node is back: `homelab-k8s up` removes it", vm)
        elif vm.record.pool not in pools:
            yield Advice(
                "{} belongs to this cluster, but its pool {} is not in the inventory, and `up` removes nothing: add "
                "`pools: {{{}: {{count: 0}}}}` to the inventory, then `homelab-k8s scale`",
                vm,
                vm.record.pool,
                vm.record.pool,
            )
        elif vm.record.state is RecordState.LEAVING:
            yield Advice("{} was being removed; repeat the interrupted `replace`, or: `homelab-k8s scale`", vm)
        else:
            yield Advice(
                "{} belongs to this cluster but is no longer in the inventory, and `up` removes nothing: "
                "`homelab-k8s scale`",
                vm,
            )


def _cordoned(view: ClusterView) -> Iterator[str]:
    leaving = {record.machine for _, record in view.machines if record.state is RecordState.LEAVING}
    for kube_node in _own_nodes(view):
        if kube_node.unschedulable and kube_node.name not in leaving:
            yield f"{kube_node.name} is cordoned: it gets no new pods: `kubectl uncordon {kube_node.name}`"


def _versions(view: ClusterView) -> Iterator[str]:
    """Releases other than the inventory's, and several at once, as an upgrade that was cut off leaves them."""
    running = _running(view)
    if not running:
        return
    listed = ", ".join(str(version) for version in running)
    wanted = _parsed(view.spec.k3s.version)
    if wanted is None:
        if len(running) > 1:
            yield Advice(
                "the machines run different k3s versions, {}: `homelab-k8s upgrade --to {}`", listed, running[-1]
            )
    elif wanted < running[-1]:
        yield from older_inventory_notes(view)
    elif running != (wanted,):
        yield Advice(
            "the cluster runs k3s {}, the inventory says {}, and `up` does not upgrade: `homelab-k8s upgrade --to {}`",
            listed,
            wanted,
            wanted,
        )


def older_inventory_notes(view: ClusterView) -> Iterator[str]:
    """That the inventory states an older release than what runs, and what new machines get."""
    running, wanted = _running(view), _parsed(view.spec.k3s.version)
    if running and wanted is not None and wanted < running[-1]:
        listed = ", ".join(str(version) for version in running)
        yield (
            f"the cluster runs k3s {listed}, newer than the inventory's {wanted}, and downgrades are not possible: set "
            f"`k3s: {{version: {running[-1]}}}` there"
        )


def _own_nodes(view: ClusterView) -> tuple[KubeNode, ...]:
    """The Kubernetes nodes of our machines; others that have joined are their owners' affair."""
    ours = {*view.vm_of, *view.unreachable.named}
    return tuple(kube_node for kube_node in view.observed.kube_nodes or () if kube_node.name in ours)


def _running(view: ClusterView) -> tuple[K3sVersion, ...]:
    """The releases that run, the oldest first."""
    found = {_parsed(kube_node.version) for kube_node in _own_nodes(view)}
    return tuple(sorted(version for version in found if version is not None))


def _parsed(text: str | None) -> K3sVersion | None:
    """A release, or None for what no release is called (a build of one's own)."""
    try:
        return parse_version(text) if text else None
    except PreflightError:
        return None


def unfinished_notes(view: ClusterView) -> tuple[str, ...]:
    """One line for each clone in our range without name and record: left alone, its vmid passed over.

    Commands wait for clones that are being made; one that stays unfinished has lost its task.
    """
    return tuple(
        f"VM {vm.vmid} on {vm.pve_node} is an unfinished clone without a name, so its VMID is skipped; if no task is "
        f"working on it, as root on {vm.pve_node}: `qm unlock {vm.vmid} && qm destroy {vm.vmid}`"
        for vm in view.observed.vms
        if vm.unfinished and vm.vmid in view.spec.placement.vmids
    )


def unused_notes(view: ClusterView) -> tuple[str, ...]:
    """One line for each machine with disks that it does not use."""
    return tuple(
        f"{vm.name} has unused disks ({', '.join(f'{key}: {volume}' for key, volume in vm.unused)}); if their data is "
        f"not needed, as root on {vm.pve_node}: `qm disk unlink {vm.vmid} --idlist "
        f"{','.join(key for key, _ in vm.unused)} --force 1`"
        for vm in view.vms
        if vm.unused
    )
