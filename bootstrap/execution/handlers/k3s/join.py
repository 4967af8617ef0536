"""Handlers of the steps that make machines a cluster: first server, joins, Ready."""

from __future__ import annotations

from ipaddress import IPv4Address

from bootstrap.errors import KubeUnreachableError, ScriptError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.guests.paused import PauseWatch
from bootstrap.execution.k3s.agent_start import start_agent
from bootstrap.execution.k3s.cni_wait import LEFT_OUT, cni_lack, ready_s
from bootstrap.execution.k3s.identity import inherit
from bootstrap.execution.k3s.kube_retries import KubeWrites
from bootstrap.execution.k3s.node_looks import LOOK_S, listed
from bootstrap.execution.k3s.readiness import Readiness, addresses_in
from bootstrap.execution.k3s.service import Starting, await_api, check_stays_up, serves, start_unit
from bootstrap.execution.run_facts import CLUSTER, ClusterAccess, GuestFacts
from bootstrap.k3s.config import files_beside, render_config, render_environment
from bootstrap.k3s.early.manifests import early_manifests
from bootstrap.k3s.environment import check_beside_proxy
from bootstrap.k3s.kubeconfig.build import build_kubeconfig, with_server
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.model.observed import KubeNode
from bootstrap.planning.steps import AwaitReady, InitServer, JoinAgent, JoinServer
from bootstrap.ports import Artifact
from bootstrap.records.state.state_items import AGENT_TOKEN, API_NAME, KUBECONFIG, TOKEN
from bootstrap.records.state.token_history import ClusterTokens, parse_tokens, short_form
from bootstrap.waiting import NotYet

_REGISTERS_IN_S = 5.0
"""How long the Kubernetes node of a unit that is active may be missing before it counts as deleted."""
_STARTS_IN_S = 15.0
"""The same of a unit that is activating: it may have been started a moment ago. An agent registers within 10 s."""


def init_server(step: InitServer, context: RunContext) -> Done:
    """Start the first server, and learn token and kubeconfig. One that serves already is only read."""
    machine = step.machine
    changed = False
    if not serves(machine, context):
        changed = install(machine, context, tokens=_first_tokens(machine.name, context), etcd=step.etcd, join=None)
        context.run(machine.name, "put-manifests.sh", files=early_manifests(context.spec))
        await_api(machine, context, starting=_start(machine, context, changed=changed))
    access = gain_access(machine, context)
    correct_address(machine, context)
    return Done(changed=changed, note=f"https://{access.address}:6443")


def _first_tokens(name: MachineName, context: RunContext) -> ClusterTokens:
    """What a server begins with that does not serve: what it was once started with, else what was kept, else ours."""
    there = token_there(name, context)
    if there:
        return ClusterTokens(server=there)  # the agents' is in the unit's environment, if there is one
    return ClusterTokens(server=inherit(name, context) or context.token, agent=context.agent_token)


def correct_address(machine: MachineSpec, context: RunContext) -> bool:
    """Correct the address of a node that a machine has from before; whether it was another.

    k3s ends with "failed to find interface with specified node ip" where it starts on a node with an address that the
    machine has no more (1.36, seen): DHCP gave it another one, or it was rebuilt.
    """
    own = addresses_in(context.run(machine.name, "unit-state.sh", UNIT=machine.role.unit).lines)
    return KubeWrites(context).set_kube_node_address(machine.name, context.guest(machine.name).address, own=own)


def gain_access(machine: MachineSpec, context: RunContext) -> ClusterAccess:
    """Learn token and kubeconfig of a server that serves, for the other lanes and for runs to come."""
    guest = context.guest(machine.name)
    tokens = parse_tokens(context.run(machine.name, "read-token.sh"), source=machine.name)
    kubeconfig = build_kubeconfig(
        context.run(machine.name, "read-kubeconfig.sh"),
        name=context.spec.name,
        server_url=f"https://{context.spec.api_host or guest.address}:6443",
        source=machine.name,
    )
    # The run itself talks to this server: the cluster's own address may not be there yet, or move.
    direct = with_server(kubeconfig, guest.address)
    access = ClusterAccess(
        address=guest.address,
        token=tokens.server,
        agent_token=tokens.agent,
        kubeconfig=kubeconfig,
        kube=context.ports.kube.connect(direct),
    )
    context.write_item(AGENT_TOKEN, tokens.agent)
    context.write_item(TOKEN, tokens.server)
    name = context.spec.api_name or ""
    if name:  # before the kubeconfig that has it; an old one goes once none does
        context.write_item(API_NAME, name)
    context.write_item(KUBECONFIG, kubeconfig)
    if not name:
        context.ports.state.remove(context.spec.name, API_NAME)
    return context.findings.access.put(CLUSTER, access)


def join_server(step: JoinServer, context: RunContext) -> Done:
    """Join a further server."""
    machine = step.machine
    _forget_stale(machine, context)
    changed = _installed(machine, context)
    _start(machine, context, changed=changed)
    return Done(changed=changed)


def join_agent(step: JoinAgent, context: RunContext) -> Done:
    """Join an agent: it has joined once its own fresh node is there, whatever systemd says of the unit."""
    machine = step.machine
    guest = context.guest(machine.name)
    stale_uid = _forget_stale(machine, context)
    changed = _installed(machine, context)
    starts = changed or not guest.runs_k3s
    start_agent(
        machine,
        context,
        restart=_restarts(guest, changed=changed),
        version=_version_installed(machine, context) if starts else "",
        stale_uid=stale_uid,
        # The clock of a fresh clone may be put right by hours after its start; its node's uid is proof enough.
        any_report=not starts or bool(context.findings.cloned.get(machine.name)),
    )
    return Done(changed=changed)


def _forget_stale(machine: MachineSpec, context: RunContext) -> str:
    """Delete what another machine of a fresh one's name has left; the node's uid, empty where there was none.

    A fresh machine has a new node password; the one that Kubernetes has of its name would have it rejected (k3s#802).
    The node of a machine that was there before stays, with the address that the machine has now.
    """
    # A run that was killed may have cloned it: without a k3s unit it has never joined.
    if not context.findings.cloned.get(machine.name) and context.guest(machine.name).active_state:
        correct_address(machine, context)
        return ""
    stale = context.kube.await_kube_node(machine.name, accept=lambda _kube_node: True, timeout_s=_REGISTERS_IN_S)
    KubeWrites(context).delete_kube_node(machine.name)
    return stale.uid if stale else ""


def _installed(machine: MachineSpec, context: RunContext) -> bool:
    """Put k3s in place to join the cluster; whether it has to be started again for that."""
    changed = install_to_join(machine, context)
    return _forgotten(machine, context) or changed


def _forgotten(machine: MachineSpec, context: RunContext) -> bool:
    """Whether k3s runs there but Kubernetes has no node of it: once deleted, it registers at a restart only."""
    guest = context.guest(machine.name)
    if not guest.runs_k3s:
        return False
    told: list[KubeNode | None] = []

    def there(kube_node: KubeNode | None) -> bool:
        told.append(kube_node)
        return kube_node is not None

    # A server that has just started registers some seconds later. Where no state was seen the API did not answer.
    registers_in_s = _STARTS_IN_S if guest.active_state == "activating" else _REGISTERS_IN_S
    context.kube.await_kube_node(machine.name, accept=there, timeout_s=registers_in_s)
    return bool(told) and told[-1] is None


def await_ready(step: AwaitReady, context: RunContext) -> Done:
    """See the node Ready, by the k3s that runs now, and its labels and taints in place."""
    machine = step.machine
    kube, name = context.kube, machine.name
    pauses = PauseWatch(name, context)
    readiness = Readiness(machine, context)

    def poll() -> KubeNode | NotYet:
        unit = readiness.look()
        try:
            kube_node = kube.await_kube_node(name, accept=lambda seen: not readiness.lacks(seen), timeout_s=LOOK_S)
            lacks = readiness.lacks(kube_node)
            if lacks and kube_node is not None and kube_node.ready:
                lacks = "" if readiness.lives(listed(name, kube)) else lacks
        except KubeUnreachableError as error:
            return NotYet(pauses.look() or str(error))  # the server that the run goes through may be the one that ends
        lacks = cni_lack(kube_node, context) or lacks or unit
        if kube_node is not None and (not lacks or (lacks == LEFT_OUT and not unit)):
            return kube_node
        paused = pauses.look()
        if not paused:
            check_stays_up(name, context)
        return NotYet(paused or lacks)

    kube_node = context.wait_for(
        f"the Kubernetes node {name} to be Ready",
        poll,
        every_s=readiness.every_s,
        resolution=f"kubectl describe node {name} shows what is missing",
        timeout_s=ready_s(context),
    )
    writes = KubeWrites(context)
    changed = writes.set_kube_node_metadata(name, labels=dict(machine.labels), taints=machine.taints)
    if kube_node.settings_pending and name in context.findings.starts:
        writes.mark_settings(name, pending=False)
    return Done(changed=changed, note=kube_node.version if kube_node.ready else LEFT_OUT)


def token_there(name: MachineName, context: RunContext) -> str | None:
    """The token a server was once started with: it encrypts the cluster's data and so must not change."""
    try:
        told = context.run(name, "read-token.sh")
    except ScriptError:
        return None
    # Only the short form may be given to the first server (docs/k3s.md#token): what follows `::server:`.
    return short_form(told.partition("\n")[0]) or None


def install_to_join(machine: MachineSpec, context: RunContext) -> bool:
    """Put k3s in place to join the cluster, by the VIP where there is one; whether anything changed."""
    join = context.spec.vip.address if context.spec.vip else context.access.address
    return install(machine, context, tokens=context.access.tokens, etcd=False, join=join)


def install(
    machine: MachineSpec,
    context: RunContext,
    *,
    tokens: ClusterTokens,
    etcd: bool,
    join: IPv4Address | None,
    alone: bool = False,
) -> bool:
    """Put binary, settings and unit in place; whether anything changed. A worker is given the agents' token alone."""
    guest = context.guest(machine.name)
    check_beside_proxy(context.spec, machine.name, guest.address)
    artifact = context.findings.prepared.get(machine.name)
    config = render_config(
        context.spec, machine, address=guest.address, address6=guest.address6, etcd=etcd, join=join, alone=alone
    )
    lines = context.run(
        machine.name,
        "install-k3s.sh",
        files={
            "config.yaml": config,
            "service.env": _environment(machine, tokens),
            **files_beside(context.spec, machine),
        },
        ROLE=machine.role.k3s,
        SHA256=_binary_wanted(guest, artifact),
    ).lines
    if guest.address6 is not None:
        context.run(machine.name, "accept-ra.sh", ADDRESS=str(guest.address6))
    return lines.flag("changed")


def _environment(machine: MachineSpec, tokens: ClusterTokens) -> str:
    if machine.role is Role.CONTROL_PLANE:
        return render_environment(tokens.server, agent_token=short_form(tokens.agent))
    return render_environment(tokens.of_agents)


def _binary_wanted(guest: GuestFacts, artifact: Artifact | None) -> str:
    """The checksum install-k3s.sh is to find: a running machine keeps the binary it has."""
    if guest.k3s_sha256 and (guest.runs_k3s or artifact is None):
        return guest.k3s_sha256
    return artifact.sha256 if artifact else ""


def _version_installed(machine: MachineSpec, context: RunContext) -> str:
    """What the kubelet of the k3s that is in place now will say; empty where the binary says nothing."""
    guest = context.guest(machine.name)
    artifact = context.findings.prepared.get(machine.name)
    if artifact is not None and _binary_wanted(guest, artifact) == artifact.sha256:
        return artifact.version
    return guest.k3s_version


def _restarts(guest: GuestFacts, *, changed: bool) -> bool:
    """Whether a unit is restarted: one that was running before, where something changed."""
    return changed and guest.active_state in ("active", "activating", "reloading")


def _start(machine: MachineSpec, context: RunContext, *, changed: bool) -> Starting:
    """Start a server's unit, or restart it where something changed."""
    return start_unit(machine, context, restart=_restarts(context.guest(machine.name), changed=changed))
