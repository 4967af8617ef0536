"""Handlers of the steps that make machines a cluster: first server, joins, Ready."""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Address

from bootstrap.errors import KubeUnreachableError, ScriptError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.guests.paused import PauseWatch
from bootstrap.execution.guests.scripts import parse_lines, run_script
from bootstrap.execution.k3s.agent_start import Own, start_agent
from bootstrap.execution.k3s.identity import inherit
from bootstrap.execution.k3s.kube_retries import KubeWrites
from bootstrap.execution.k3s.readiness import Readiness, addresses_in
from bootstrap.execution.k3s.service import Starting, await_api, check_stays_up, serves, start_unit
from bootstrap.execution.run_facts import ClusterAccess, GuestFacts
from bootstrap.k3s.config import render_config, render_environment
from bootstrap.k3s.kubeconfig.build import build_kubeconfig, with_server
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.model.observed import KubeNode
from bootstrap.planning.steps import AwaitReady, InitServer, JoinAgent, JoinServer
from bootstrap.ports import Artifact, GuestScript, GuestShell
from bootstrap.records.state.state_items import AGENT_TOKEN, API_NAME, KUBECONFIG, TOKEN
from bootstrap.records.state.token_history import ClusterTokens, parse_tokens, short_form
from bootstrap.waiting import Condition, NotYet, wait_for

CLUSTER = "cluster"
"""The one key of `Findings.access`."""

_REGISTERS_IN_S = 5.0
"""How long the Kubernetes node of a unit that is active may be missing before it counts as deleted."""
_STARTS_IN_S = 15.0
"""The same of a unit that is activating: it may have been started a moment ago. An agent registers within 10 s."""


def init_server(step: InitServer, lane: str, context: RunContext) -> Done:
    """Have the first server serving; learn token and kubeconfig. One that serves already is only read."""
    machine = step.machine
    shell = context.findings.shells.need(machine.name)
    changed = False
    if not serves(shell, context):
        changed = install(machine, shell, context, tokens=_first_tokens(shell, context), etcd=step.etcd, join=None)
        starting = _start(machine, shell, lane, context, changed=changed, timeout_s=context.timeouts.server_s)
        await_api(machine, shell, lane, context, starting=starting)
    access = gain_access(machine, shell, context)
    put_right(machine, lane, context)
    return Done(changed=changed, note=f"https://{access.address}:6443")


def _first_tokens(shell: GuestShell, context: RunContext) -> ClusterTokens:
    """What a server begins with that does not serve: what it was once started with, else what was kept, else ours."""
    there = token_there(shell, context)
    if there:
        return ClusterTokens(server=there)  # the agents' is in the unit's environment, if there is one
    return ClusterTokens(server=inherit(shell, context) or context.token, agent=context.agent_token)


def writes(lane: str, context: RunContext) -> KubeWrites:
    """A lane's writes to the cluster."""
    return KubeWrites(kube=context.findings.access.need(CLUSTER).kube, lane=lane, context=context)


def put_right(machine: MachineSpec, lane: str, context: RunContext) -> bool:
    """Have the node that a machine has from before tell the machine's address of now; whether it told another.

    k3s ends with "failed to find interface with specified node ip" where it starts on a node with an address that the
    machine has no more (1.36, seen): DHCP gave it another one, or it was rebuilt.
    """
    shell, guest = context.findings.shells.need(machine.name), context.findings.guests.need(machine.name)
    own = addresses_in(parse_lines(run_script(shell, "unit-state.sh", context, UNIT=machine.role.unit)))
    return writes(lane, context).set_node_address(machine.name, guest.address, own=own)


def gain_access(machine: MachineSpec, shell: GuestShell, context: RunContext) -> ClusterAccess:
    """Learn token and kubeconfig of a server that serves, for the other lanes and for runs to come."""
    guest = context.findings.guests.need(machine.name)
    tokens = parse_tokens(run_script(shell, "read-token.sh", context), source=machine.name)
    kubeconfig = build_kubeconfig(
        run_script(shell, "read-kubeconfig.sh", context),
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
    state, cluster = context.ports.state, context.spec.name
    state.write(cluster, AGENT_TOKEN, tokens.agent)
    state.write(cluster, TOKEN, tokens.server)
    name = context.spec.api_name or ""
    if name:  # before the kubeconfig that has it; one of before goes once none does
        state.write(cluster, API_NAME, name)
    state.write(cluster, KUBECONFIG, kubeconfig)
    if not name:
        state.remove(cluster, API_NAME)
    return context.findings.access.put(CLUSTER, access)


def join_server(step: JoinServer, lane: str, context: RunContext) -> Done:
    """Have a further server in the cluster."""
    machine = step.machine
    access = context.findings.access.need(CLUSTER)
    _forget_stale(machine, access, lane, context)
    changed = _installed(machine, access, context)
    shell = context.findings.shells.need(machine.name)
    _start(machine, shell, lane, context, changed=changed, timeout_s=context.timeouts.server_s)
    return Done(changed=changed)


def join_agent(step: JoinAgent, lane: str, context: RunContext) -> Done:
    """Have an agent in the cluster: its own fresh node there, whatever systemd says of the unit."""
    machine = step.machine
    access = context.findings.access.need(CLUSTER)
    guest = context.findings.guests.need(machine.name)
    stale_uid = _forget_stale(machine, access, lane, context)
    changed = _installed(machine, access, context)
    starts = changed or not guest.runs_k3s

    def own(began: datetime) -> Own:
        # The clock of a fresh clone may be put right by hours after its start; its node's uid is proof enough.
        fresh = bool(context.findings.cloned.get(machine.name))
        return Own(
            address=guest.address,
            version=_version_installed(machine, context) if starts else "",
            stale_uid=stale_uid,
            since=began if starts and not fresh else None,
        )

    shell = context.findings.shells.need(machine.name)
    start_agent(machine, shell, lane, context, kube=access.kube, restart=_restarts(guest, changed=changed), own=own)
    return Done(changed=changed)


def _forget_stale(machine: MachineSpec, access: ClusterAccess, lane: str, context: RunContext) -> str:
    """Delete what another machine of a fresh one's name has left; the node's uid, empty where there was none.

    A fresh machine has a new node password; the one that Kubernetes has of its name would have it rejected (k3s#802).
    The node of a machine that was there before stays, with the address that the machine has now.
    """
    # A run that was killed may have cloned it: without a k3s unit it has never joined.
    if not context.findings.cloned.get(machine.name) and context.findings.guests.need(machine.name).active_state:
        put_right(machine, lane, context)
        return ""
    stale = access.kube.await_node(machine.name, accept=lambda _node: True, timeout_s=_REGISTERS_IN_S)
    writes(lane, context).delete_kube_node(machine.name)
    return stale.uid if stale else ""


def _installed(machine: MachineSpec, access: ClusterAccess, context: RunContext) -> bool:
    """Put k3s in place to join the cluster; whether it has to be started again for that."""
    join = context.spec.vip.address if context.spec.vip else access.address
    shell = context.findings.shells.need(machine.name)
    changed = install(machine, shell, context, tokens=access.tokens, etcd=False, join=join)
    return _forgotten(machine, access, context) or changed


def _forgotten(machine: MachineSpec, access: ClusterAccess, context: RunContext) -> bool:
    """Whether k3s runs there but Kubernetes has no node of it: deleted meanwhile, it registers at a restart only."""
    guest = context.findings.guests.need(machine.name)
    if not guest.runs_k3s:
        return False
    told: list[KubeNode | None] = []

    def there(kube_node: KubeNode | None) -> bool:
        told.append(kube_node)
        return kube_node is not None

    # A server that has just started registers some seconds later. Where nothing was told the API did not answer.
    registers_in_s = _STARTS_IN_S if guest.active_state == "activating" else _REGISTERS_IN_S
    access.kube.await_node(machine.name, accept=there, timeout_s=registers_in_s)
    return bool(told) and told[-1] is None


def await_ready(step: AwaitReady, lane: str, context: RunContext) -> Done:
    """See the node Ready, by the k3s that runs now, and its labels and taints in place."""
    machine = step.machine
    kube = context.findings.access.need(CLUSTER).kube
    wait_context = context.wait_context(lane, context.timeouts.ready_s)
    window_s = 2.0
    pauses = PauseWatch(machine.name, context)
    readiness = Readiness(machine, context)

    def poll() -> KubeNode | NotYet:
        unit = readiness.look()
        try:
            kube_node = kube.await_node(machine.name, accept=lambda node: not readiness.lacks(node), timeout_s=window_s)
            lacks = readiness.lacks(kube_node)
            if lacks and kube_node is not None and kube_node.ready:
                listed = next((node for node in kube.kube_nodes() if node.name == machine.name), None)
                lacks = "" if readiness.lives(listed) else lacks
        except KubeUnreachableError as error:
            return NotYet(pauses.look() or str(error))  # the server that the run goes through may be the one that ends
        lacks = lacks or unit
        if not lacks and kube_node is not None:
            return kube_node
        paused = pauses.look()
        if not paused:
            check_stays_up(machine.name, context)
        return NotYet(paused or lacks)

    condition = Condition(
        what=f"the Kubernetes node {machine.name} to be Ready",
        poll=poll,
        every_s=readiness.every_s,
        resolution=f"kubectl describe node {machine.name} shows what is missing",
    )
    kube_node = wait_for(condition, wait_context)
    changed = writes(lane, context).set_node_metadata(machine.name, labels=dict(machine.labels), taints=machine.taints)
    return Done(changed=changed, note=kube_node.version)


def token_there(shell: GuestShell, context: RunContext) -> str | None:
    """The token a server was once started with: it encrypts the cluster's data and so must not change."""
    try:
        told = run_script(shell, "read-token.sh", context)
    except ScriptError:
        return None
    # Only the short form may be given to the first server (docs/k3s.md#token): what follows `::server:`.
    return short_form(told.partition("\n")[0]) or None


def install(
    machine: MachineSpec,
    shell: GuestShell,
    context: RunContext,
    *,
    tokens: ClusterTokens,
    etcd: bool,
    join: IPv4Address | None,
    alone: bool = False,
) -> bool:
    """Put binary, settings and unit in place; whether anything changed. A worker is given the agents' token alone."""
    guest = context.findings.guests.need(machine.name)
    artifact = context.findings.prepared.get(machine.name)
    config = render_config(
        context.spec, machine, address=guest.address, address6=guest.address6, etcd=etcd, join=join, alone=alone
    )
    script = GuestScript(
        name="install-k3s.sh",
        env=(("ROLE", machine.role.k3s), ("SHA256", _binary_wanted(guest, artifact))),
        secret_files=(("config.yaml", config), ("service.env", _environment(machine, tokens))),
    )
    lines = parse_lines(shell.run(script, timeout_s=context.timeouts.script_s))
    if guest.address6 is not None:
        run_script(shell, "accept-ra.sh", context, ADDRESS=str(guest.address6))
    return lines.get("changed") == ["1"]


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
    guest = context.findings.guests.need(machine.name)
    artifact = context.findings.prepared.get(machine.name)
    if artifact is not None and _binary_wanted(guest, artifact) == artifact.sha256:
        return artifact.version
    return guest.k3s_version


def _restarts(guest: GuestFacts, *, changed: bool) -> bool:
    """Whether a unit is restarted: one that was running before, where something changed."""
    return changed and guest.active_state in ("active", "activating", "reloading")


def _start(
    machine: MachineSpec, shell: GuestShell, lane: str, context: RunContext, *, changed: bool, timeout_s: float
) -> Starting:
    """Have a server's unit active."""
    restart = _restarts(context.findings.guests.need(machine.name), changed=changed)
    return start_unit(machine, shell, lane, context, restart=restart, timeout_s=timeout_s)
