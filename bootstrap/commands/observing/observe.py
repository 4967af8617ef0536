"""Observes a cluster: Proxmox VE first, then the cluster's own API if it may answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TypeVar

from bootstrap.commands.observing.guests import server_guests
from bootstrap.commands.observing.liveness import when_served, with_units, with_vms
from bootstrap.errors import (
    AgentForbidsError,
    AgentNotConfiguredError,
    AgentNotRunningError,
    DeadlineError,
    KubernetesError,
    PermissionDeniedError,
    TransientError,
    UnreadableError,
)
from bootstrap.k3s.kubeconfig.build import server_of, with_server
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineKind, MachineRecord
from bootstrap.model.observed import GuestInterface, KubeNode, Observed, VmRecord
from bootstrap.planning.capacity.addresses import choose_address
from bootstrap.planning.checks.preflight import check_pve_quorum
from bootstrap.planning.provision.successors import with_returned
from bootstrap.planning.view import ClusterView
from bootstrap.ports import KubeApi, Ports, PveFacts
from bootstrap.records.state.state_items import KUBECONFIG, KUBECONFIG_PATH, KUBECONFIG_SERVER
from bootstrap.waiting import Condition, NotYet, WaitContext, wait_for

Answer = TypeVar("Answer")
_Machine = tuple[VmRecord, MachineRecord]

_MADE_WITHIN_S = 60.0
_CLONED_WITHIN_S = 600.0
"""Where a task that clones is seen: a full clone's name may come only with its first disk."""
_LOOK_S = 0.5


def observe_cluster(spec: ClusterSpec, ports: Ports, *, patient: bool = True) -> ClusterView:
    """Everything planning may know. Reads only.

    With `patient`, for commands that act: waits for containers and clones that are being made in our range of vmids
    (whose they are shows only then: a killed run's clone is still being made), and for a server that starts where none
    is Ready; refuses a Proxmox cluster without quorum.

    Raises:
        PreflightError: `patient`, and there is no quorum.
    """
    view = observe_proxmox(spec, ports, patient=patient)
    running = _running(view)
    odd: list[str] = []
    interfaces = _interfaces(ports, running, odd)
    wants_containers = any(pool.kind is MachineKind.LXC for pool in spec.pools)
    seen = replace(
        _with_cpu_types(spec, ports, view.observed),
        addresses=_addresses(spec, running, interfaces),
        vip_holder=next((name for name, seen in interfaces.items() if _shared_addresses(spec, seen)), None),
        kubeconfig_server=_kubeconfig_server(spec, ports),
        ostemplates=ports.hypervisor.ostemplates() if wants_containers else (),
        passed_over=(*view.observed.passed_over, *odd),
    )
    seen = replace(seen, other_vips=_other_vips(spec, running, interfaces, dict(seen.addresses)))
    kube_nodes, problem = _kube_nodes(replace(view, observed=seen), ports)
    view = replace(view, observed=replace(seen, kube_nodes=kube_nodes, kube_problem=problem))
    view = with_units(with_vms(view), ports)
    if not patient:
        return view
    return when_served(view, ports, look=lambda: observe_cluster(spec, ports, patient=False))


def with_refusing(view: ClusterView, ports: Ports) -> ClusterView:
    """What Proxmox VE reports, with the machines that run and refuse our SSH key. Reads only."""
    running = _running(view)
    addresses = _addresses(view.spec, running, _interfaces(ports, running, []))
    return with_units(replace(view, observed=replace(view.observed, addresses=addresses)), ports, every=True)


def observe_proxmox(spec: ClusterSpec, ports: Ports, *, patient: bool = True) -> ClusterView:
    """What Proxmox VE alone reports, `patient` as in `observe_cluster`. Reads only."""
    facts = _when_made(spec, ports) if patient else _facts(spec, ports)
    view = ClusterView(spec, seen_by_proxmox(facts))
    view = replace(view, observed=with_returned(view))
    if patient:
        check_pve_quorum(view.observed)
    return view


def _running(view: ClusterView) -> list[_Machine]:
    return [(vm, record) for vm, record in view.machines if vm.running]


def _kubeconfig_server(spec: ClusterSpec, ports: Ports) -> str | None:
    """The server in the user's kubeconfig; where an earlier release wrote that, the one in the state directory's."""
    told = ports.state.read(spec.name, KUBECONFIG_SERVER)
    ours = ports.state.read(spec.name, KUBECONFIG) if ports.state.read(spec.name, KUBECONFIG_PATH) else None
    if told or not ours:
        return told
    try:
        return server_of(ours)
    except KubernetesError:
        return None


def _with_cpu_types(spec: ClusterSpec, ports: Ports, observed: Observed) -> Observed:
    """With the CPU types that the Proxmox nodes know, where the inventory names any."""
    if not any(pool.cpu_type for pool in spec.pools):
        return observed
    told = [
        replace(facts, cpu_types=ports.hypervisor.cpu_types(facts.name)) if facts.online else facts
        for facts in observed.pve_nodes
    ]
    return replace(observed, pve_nodes=tuple(told))


def seen_by_proxmox(facts: PveFacts) -> Observed:
    """A reading of Proxmox VE as planning knows it; nothing is known of Kubernetes."""
    return Observed(
        version=facts.version,
        pve_nodes=facts.pve_nodes,
        templates=facts.templates,
        # Proxmox VE lists them in any order, and another one each time.
        vms=tuple(sorted(facts.vms, key=lambda vm: vm.vmid)),
        used_vmids=facts.used_vmids,
        unreachable=facts.unreachable,
        lost_quorum=facts.lost_quorum,
        passed_over=facts.passed_over,
    )


def _facts(spec: ClusterSpec, ports: Ports) -> PveFacts:
    return ports.hypervisor.observe(cluster=spec.name, vmids=spec.placement.vmids)


def _when_made(spec: ClusterSpec, ports: Ports) -> PveFacts:
    seen: list[PveFacts] = []
    clock = ports.clock
    began_s = clock.now_s()

    def poll() -> PveFacts | NotYet:
        seen[:] = [_facts(spec, ports)]
        waited_s = clock.now_s() - began_s
        ours = [vm for vm in seen[0].vms if vm.vmid in spec.placement.vmids]
        vmids = [vm.vmid for vm in ours if _is_being_made(vm) and waited_s < _patience_s(vm)]
        return NotYet(f"vmid {vmids[0]} is still being made") if vmids else seen[0]

    condition = Condition(what="machines that are being made", poll=poll, every_s=_LOOK_S)
    wait_context = WaitContext(
        clock=clock, deadline_s=began_s + _CLONED_WITHIN_S, stop=threading.Event(), say=lambda *_told: None
    )
    try:
        return wait_for(condition, wait_context)
    except DeadlineError:
        return seen[0]  # it may be of another cluster, stuck for days: it is left alone, and its vmid skipped


def _patience_s(vm: VmRecord) -> float:
    """How long one that is being made is waited for: not at all where no task makes it."""
    if vm.clone_runs is None:
        return _MADE_WITHIN_S
    return _CLONED_WITHIN_S if vm.clone_runs else 0.0


def _is_being_made(vm: VmRecord) -> bool:
    """Whether it is nothing but a lock so far: whose it is shows later."""
    return vm.unfinished or (vm.kind is MachineKind.LXC and vm.lock == "create" and vm.record is None)


def _interfaces(ports: Ports, running: list[_Machine], odd: list[str]) -> dict[MachineName, tuple[GuestInterface, ...]]:
    """The running machines' interfaces as their guest agents report them now; answers of odd form go to `odd`.

    An agent that does not answer costs 3 s, so after the first silent one on a Proxmox node the rest of that
    node's are left for the run itself to wait for.
    """
    found: dict[MachineName, tuple[GuestInterface, ...]] = {}
    silent: set[str] = set()
    for vm, record in running:
        asks_agent = vm.kind is MachineKind.VM
        if vm.halted or (asks_agent and vm.pve_node in silent):
            continue
        try:
            found[record.machine] = ports.hypervisor.guest_interfaces(vm.vmid, pve_node=vm.pve_node)
        except UnreadableError as error:
            odd.append(f"{error.brief}: {error.details}")
        except (AgentNotRunningError, TransientError):
            if asks_agent:
                silent.add(vm.pve_node)
        except (AgentForbidsError, AgentNotConfiguredError, PermissionDeniedError):
            pass  # the run meets the same answer and says what to do about it
    return found


def _addresses(
    spec: ClusterSpec, running: list[_Machine], interfaces: Mapping[MachineName, tuple[GuestInterface, ...]]
) -> tuple[tuple[MachineName, IPv4Address], ...]:
    found: dict[MachineName, IPv4Address] = {}
    for vm, record in running:
        seen = interfaces.get(record.machine)
        if seen is None:
            continue
        chosen = choose_address(seen, mac=vm.mac, subnet=spec.network.subnet, besides=_shared_addresses(spec, seen))
        if isinstance(chosen, IPv4Address):
            found[record.machine] = chosen
    return tuple(sorted(found.items()))


def _shared_addresses(spec: ClusterSpec, seen: Iterable[GuestInterface]) -> tuple[IPv4Address, ...]:
    """The VIP, where a machine has it as keepalived gives it (/32); one that has it otherwise has it as its own."""
    given = {address for interface in seen for address in interface.lone}
    return (spec.vip.address,) if spec.vip and spec.vip.address in given else ()


def _other_vips(
    spec: ClusterSpec,
    running: list[_Machine],
    interfaces: Mapping[MachineName, tuple[GuestInterface, ...]],
    addresses: Mapping[MachineName, IPv4Address],
) -> tuple[MachineName, ...]:
    """The machines with a further address on their net0 that is a network of its own, and not the VIP."""
    found: list[MachineName] = []
    for vm, record in running:
        seen = interfaces.get(record.machine, ())
        lone = {each for told in seen if told.mac == (vm.mac or "").upper() for each in told.lone}
        if lone - {*_shared_addresses(spec, seen), addresses.get(record.machine)}:
            found.append(record.machine)
    return tuple(sorted(found))


def ask_servers(view: ClusterView, ports: Ports, *, ask: Callable[[KubeApi], Answer]) -> Answer:
    """Ask the cluster's API, at each server that runs in turn until one answers.

    Raises:
        KubernetesError: None does; or there is no kubeconfig of the cluster here.
    """
    kubeconfig = ports.state.read(view.spec.name, KUBECONFIG)
    if not kubeconfig:
        raise KubernetesError("no kubeconfig of the cluster in the state directory")
    error = KubernetesError("no server is running")
    for server in server_guests(view):
        try:
            with closing(ports.kube.connect(with_server(kubeconfig, server.address))) as kube:
                return ask(kube)
        except KubernetesError as refused:
            error = refused
    raise error


def _kube_nodes(view: ClusterView, ports: Ports) -> tuple[tuple[KubeNode, ...] | None, str]:
    """The Kubernetes nodes, or why they are unknown."""
    try:
        return ask_servers(view, ports, ask=lambda kube: kube.kube_nodes()), ""
    except KubernetesError as error:
        up = view.running_servers
        if up and not server_guests(view) and ports.state.read(view.spec.name, KUBECONFIG):
            names = ", ".join(vm.name for vm in up)
            return None, f"the guest agent of {names} does not report an address"
        return None, str(error)
