"""Handlers of the steps with which a machine leaves the cluster, or is taken back into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from bootstrap.advice import Advice
from bootstrap.errors import HomelabError, HypervisorError, InterruptedRunError, KubernetesError, VmNotFoundError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.handlers.machines.foreign_disks import await_detached
from bootstrap.execution.handlers.machines.guests import await_guest
from bootstrap.execution.handlers.machines.vms import owned_vm, record_key
from bootstrap.execution.k3s.drain import evict_all
from bootstrap.execution.k3s.kube_retries import KubeWrites, once_it_answers
from bootstrap.execution.k3s.node_looks import listed
from bootstrap.execution.run_facts import ClusterAccess
from bootstrap.k3s.kubeconfig.build import with_server
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import RecordState
from bootstrap.model.observed import KubeNode, VmRecord
from bootstrap.model.words import count
from bootstrap.planning.day2_steps import DeleteKubeNode, Drain, MarkLeaving, Reclaim, RetireServer, Uncordon
from bootstrap.planning.steps import AwaitGuest
from bootstrap.ports import KubeApi
from bootstrap.records.vms.machine import identity_of, render_record

_SERVER_ROLE = "control-plane"

REACH_S = 20.0
"""How long a machine that is about to be removed may take to accept a login."""

_WRITES = 3
"""How often a node is uncordoned at most: again where it did not stay so."""


def mark_leaving(step: MarkLeaving, context: RunContext) -> Done:
    """Note in the record that the machine leaves; an incomplete clone is removed anyway."""
    try:
        vm = owned_vm(step.machine, context)
    except VmNotFoundError:
        return Done(changed=False, note="already removed")
    if vm.record is not None and vm.record.state is RecordState.CLONING:
        return Done(changed=False)
    return Done(changed=_write_state(vm, RecordState.LEAVING, step.machine, context))


def reclaim(step: Reclaim, context: RunContext) -> Done:
    """Take the machine back into service. The record comes last: until then it shows that work is left."""
    vm = owned_vm(step.machine, context)
    changed = _set_schedulable(step.machine, context)
    if vm.record is not None and vm.record.state is RecordState.LEAVING:
        changed = _write_state(vm, RecordState.MADE, step.machine, context) or changed
    return Done(changed=changed)


def drain(step: Drain, context: RunContext) -> Done:
    """Cordon the node and evict its pods; on any failure it is as schedulable as before.

    From a machine that is removed, Kubernetes then detaches the pods' volumes: they are on disks that stay.
    """
    kube = context.kube
    what = f"Kubernetes to cordon {step.machine}"
    kube_node = once_it_answers(lambda: listed(step.machine, kube), what=what, context=context)
    if kube_node is None:
        return Done(changed=False, note="Kubernetes has no such node")
    leaving = _is_leaving(step.machine, context)
    with ExitStack() as undo:
        if not kube_node.unschedulable or leaving:
            # A killed run has left the node of a leaving machine cordoned: that was us, too.
            undo.callback(_uncordon_again, step.machine, context)
        cordoned = KubeWrites(context).set_unschedulable(step.machine, unschedulable=True)
        drained = evict_all(step, kube, context.wait_context(step.timeout_s))
        detached = _await_detached(step, context) if leaving else ()
        undo.pop_all()
    note = "; ".join((str(drained), *([f"{count(len(detached), 'disk')} detached"] if detached else ())))
    return Done(changed=cordoned or drained.evicted > 0, note=note)


def _await_detached(step: Drain, context: RunContext) -> tuple[str, ...]:
    return await_detached(
        lambda: owned_vm(step.machine, context), detach=step.detach_disks, timeout_s=step.timeout_s, context=context
    )


def uncordon(step: Uncordon, context: RunContext) -> Done:
    """Uncordon the node."""
    return Done(changed=_set_schedulable(step.machine, context))


def delete_kube_node(step: DeleteKubeNode, context: RunContext) -> Done:
    """Delete the node, and with a server's its etcd member.

    Raises:
        KubernetesError: It is the only server that is Ready, so that nothing would be left; or the API refuses.
    """
    # etcd may be electing a leader: the member that has just gone can have been it. Each time all is looked at again.
    return once_it_answers(
        lambda: _delete(step, context),
        what=f"Kubernetes to delete its node {step.machine}",
        context=context,
        timeout_s=context.timeouts.ready_s,
    )


def _delete(step: DeleteKubeNode, context: RunContext) -> Done:
    access = context.access
    kube_nodes = access.kube.kube_nodes()
    kube_node = next((kube_node for kube_node in kube_nodes if kube_node.name == step.machine), None)
    if kube_node is None:
        return Done(changed=False, note="already removed")
    if not step.server:
        access.kube.delete_kube_node(step.machine, timeout_s=context.timeouts.delete_kube_node_s)
        return Done()
    others = tuple(other for other in kube_nodes if other.name != step.machine and _is_server(other))
    if not others:
        raise KubernetesError(
            f"{step.machine} is the only Ready server of {context.spec.name}: without it the cluster is lost",
            details=_servers_text(kube_nodes),
            resolution=Advice(
                "get another server Ready first, with `homelab-k8s scale control-plane 3` or `homelab-k8s up`"
            ),
        )
    with _api_beside(kube_node, others, access, context) as kube:
        # A finalizer (`wrangler.cattle.io/node`) may hold the node of a server that lives for 150 s and more, while
        # its etcd member is removed at once (k3s 1.21, observed): then, or past the deadline, it may be stopped.
        kube.delete_kube_node(step.machine, timeout_s=0.0)
        kube.await_kube_node(
            step.machine,
            accept=lambda seen: seen is None or seen.deleting or seen.uid != kube_node.uid,
            timeout_s=context.timeouts.delete_kube_node_s,
        )
        held = listed(step.machine, kube) is not None
    return Done(note="Kubernetes removes the node once k3s has stopped there" if held else "")


def retire_server(step: RetireServer, context: RunContext) -> Done:
    """Stop k3s for good on a server that is no longer a member of etcd.

    Until then it keeps serving, with data that no other server changes, and joins again when it is restarted
    (docs/k3s.md#removing-a-node). Its VM goes next, so that a machine that cannot be reached is no reason to stop.
    """
    name = step.machine
    try:
        if context.findings.shells.get(name) is None:
            # It should be up, so it is not waited for as one that boots.
            times = replace(context.timeouts, agent_s=REACH_S, ssh_s=REACH_S, cloud_init_s=REACH_S)
            await_guest(AwaitGuest(machine=name), replace(context, timeouts=times))
        lines = context.run(name, "stop-k3s.sh", UNIT="k3s", MARK="0").lines
    except InterruptedRunError:
        raise
    except HomelabError as error:
        context.warn(f"k3s on {name} was not stopped, since the machine is unreachable: {error}")
        return Done(changed=False, note="not reached")
    return Done(changed=lines.flag("changed"))


@contextmanager
def _api_beside(
    kube_node: KubeNode, others: tuple[KubeNode, ...], access: ClusterAccess, context: RunContext
) -> Iterator[KubeApi]:
    """The API on a server that stays: that of the leaving one ends with its etcd member."""
    address = next((other.address for other in others if other.address is not None), None)
    if kube_node.address != access.address or address is None:
        yield access.kube
        return
    kube = context.ports.kube.connect(with_server(access.kubeconfig, address))
    try:
        yield kube
    finally:
        kube.close()


def _is_server(kube_node: KubeNode) -> bool:
    return kube_node.ready and _SERVER_ROLE in kube_node.roles


def _servers_text(kube_nodes: tuple[KubeNode, ...]) -> str:
    servers = (kube_node for kube_node in kube_nodes if _SERVER_ROLE in kube_node.roles)
    return "\n".join(f"{server.name}: {'Ready' if server.ready else server.problem}" for server in servers)


def _set_schedulable(name: MachineName, context: RunContext) -> bool:
    """Uncordon a node, if there is one; whether anything changed."""
    what = f"Kubernetes to uncordon {name}"
    if once_it_answers(lambda: listed(name, context.kube), what=what, context=context) is None:
        return False
    # Read back: a server that has just restarted may not have kept the first write.
    for tried in range(_WRITES):
        if not KubeWrites(context).set_unschedulable(name, unschedulable=False):
            return tried > 0
    return True


def _uncordon_again(name: MachineName, context: RunContext) -> None:
    try:
        KubeWrites(context).set_unschedulable(name, unschedulable=False)
    except HomelabError as error:
        context.warn(f"{name} stays cordoned ({error}); uncordon it with: kubectl uncordon {name}")


def _is_leaving(name: MachineName, context: RunContext) -> bool:
    if context.findings.places.get(name) is None:
        return False
    try:
        record = owned_vm(name, context).record
    except VmNotFoundError:
        return False
    return record is not None and record.state is RecordState.LEAVING


def _write_state(vm: VmRecord, state: RecordState, name: MachineName, context: RunContext) -> bool:
    """Write a state into a VM's record and read it back; whether it changed."""
    record = vm.record
    if record is None or record.state is state:
        return False
    description = render_record(
        replace(record, state=state), key=record_key(context), identity=identity_of(vm), into=vm.description
    )
    context.ports.hypervisor.configure(vm.vmid, pve_node=vm.pve_node, settings={"description": description})
    after = owned_vm(name, context).record
    if after is None or after.state is not state:
        raise HypervisorError(
            f"{name}: Proxmox VE did not keep the record that says {state.value}",
            details=f"the description of VM {vm.vmid} says {after.state.value if after else 'nothing of this tool'}",
            resolution="check whether something else changes that VM, then run the command again",
        )
    return True
