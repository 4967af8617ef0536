"""Handlers of the steps that bring a machine's k3s to another version, or its data to another store."""

from __future__ import annotations

from dataclasses import replace

from bootstrap.errors import KubeUnreachableError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.guests.paused import PauseWatch
from bootstrap.execution.guests.scripts import parse_facts, run_script
from bootstrap.execution.handlers.k3s.binary import fetched, send_k3s
from bootstrap.execution.handlers.k3s.join import CLUSTER, install, token_there
from bootstrap.execution.k3s.agent_start import Own, start_agent
from bootstrap.execution.k3s.service import await_api, await_served, begin_start, check_stays_up, start_unit
from bootstrap.execution.run_facts import GuestFacts
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.model.observed import KubeNode
from bootstrap.planning.day2_steps import AwaitVersion, MigrateToEtcd, UpgradeK3s
from bootstrap.ports import GuestScript, GuestShell, KubeApi
from bootstrap.records.state.token_history import ClusterTokens
from bootstrap.waiting import Condition, NotYet, wait_for

WINDOW_S = 2.0
"""How long one look at a Kubernetes node lasts; in between the machine itself is looked at."""


def upgrade_k3s(step: UpgradeK3s, lane: str, context: RunContext) -> Done:
    """Have the version's binary on the machine and k3s run it: settings stay, pods go on running meanwhile."""
    machine = step.machine
    shell = context.findings.shells.need(machine.name)
    facts = _facts(machine, shell, context)
    artifact = fetched(step.version, facts.arch, context)
    sent = ""
    if facts.k3s_sha256 != artifact.sha256:
        sent = send_k3s(artifact, shell)
        _put_binary(machine, shell, context, sha256=artifact.sha256)
    elif facts.runs_k3s and _runs(machine, step.version, context):
        return Done(changed=False)
    _restart(machine, step.version, shell, lane, context)
    return Done(note=sent)


def _facts(machine: MachineSpec, shell: GuestShell, context: RunContext) -> GuestFacts:
    """The guest as it is now: on a second rung it is not what it was at the beginning."""
    known = context.findings.guests.need(machine.name)
    told = run_script(shell, "facts.sh", context, UNIT=machine.role.unit)
    return parse_facts(told, machine=machine.name, address=known.address, address6=known.address6)


def _put_binary(machine: MachineSpec, shell: GuestShell, context: RunContext, *, sha256: str) -> None:
    """Install binary, images and unit; config.yaml and the token stay, since none are sent."""
    script = GuestScript(name="install-k3s.sh", env=(("ROLE", machine.role.k3s), ("SHA256", sha256)))
    shell.run(script, timeout_s=context.timeouts.script_s)


def _runs(machine: MachineSpec, version: str, context: RunContext) -> bool:
    """Whether Kubernetes says that the machine's kubelet is of a version: a binary that is there may not run yet."""
    kube_node = _kube(context).await_node(machine.name, accept=lambda _node: True, timeout_s=WINDOW_S)
    return kube_node is not None and kube_node.ready and kube_node.version == version


def _kube(context: RunContext) -> KubeApi:
    return context.findings.access.need(CLUSTER).kube


def _restart(machine: MachineSpec, version: str, shell: GuestShell, lane: str, context: RunContext) -> None:
    """Restart k3s, since nothing else has it run another binary, and wait until the new one runs.

    Source: docs/k3s.md#starting-and-restarting.

    That the unit is active is not enough: it may be the old process still, or one that is about to fail.
    """
    if machine.role is not Role.CONTROL_PLANE:
        address = context.findings.guests.need(machine.name).address
        start_agent(
            machine,
            shell,
            lane,
            context,
            kube=_kube(context),
            restart=True,
            own=lambda began: Own(address=address, version=version, since=began),
        )
        return
    starting = begin_start(machine, shell, context, restart=True)
    await_served(
        starting,
        shell,
        lane,
        context,
        what=f"to run {version}",
        machine=machine,
        settled=lambda: _seen(machine, version, context),
    )


def _seen(machine: MachineSpec, version: str, context: RunContext) -> bool | NotYet:
    """Whether the kubelet of the version has told Kubernetes of itself."""

    def arrived(kube_node: KubeNode | None) -> bool:
        return kube_node is not None and kube_node.version == version

    try:
        kube_node = _kube(context).await_node(machine.name, accept=arrived, timeout_s=WINDOW_S)
    except KubeUnreachableError as error:
        return NotYet(str(error))  # the server that the run goes through may be the one that restarts
    if kube_node is None:
        return NotYet("Kubernetes has no node of it")
    return True if kube_node.version == version else NotYet(f"its kubelet says {kube_node.version}")


def await_version(step: AwaitVersion, lane: str, context: RunContext) -> Done:
    """See the node Ready with a kubelet of the version.

    Ready alone can be stale for 40 s, the version cannot: only the new kubelet writes it, and Ready with it
    (docs/k3s.md#readiness).
    """
    return Done(changed=False, note=_await_node(step, lane, context).version)


def _await_node(step: AwaitVersion, lane: str, context: RunContext) -> KubeNode:
    kube = _kube(context)
    pauses = PauseWatch(step.machine, context)

    def arrived(kube_node: KubeNode | None) -> bool:
        return kube_node is not None and kube_node.ready and kube_node.version == step.version

    def poll() -> KubeNode | NotYet:
        kube_node = kube.await_node(step.machine, accept=arrived, timeout_s=WINDOW_S)
        if kube_node is not None and arrived(kube_node):
            return kube_node
        paused = pauses.look()
        if not paused:
            check_stays_up(step.machine, context)
        if kube_node is None:
            return NotYet(paused or "it has not registered yet")
        if kube_node.version != step.version:
            return NotYet(f"its kubelet is {kube_node.version or 'of unknown version'}")
        return NotYet(paused or kube_node.problem or "not Ready")

    condition = Condition(
        what=f"the Kubernetes node {step.machine} to be Ready with {step.version}",
        poll=poll,
        every_s=0.05,
        resolution=f"kubectl describe node {step.machine} shows what is missing",
    )
    return wait_for(condition, context.wait_context(lane, context.timeouts.ready_s))


def migrate_to_etcd(step: MigrateToEtcd, lane: str, context: RunContext) -> Done:
    """Have the only server's data in embedded etcd; k3s copies it there itself when it starts with `cluster-init`.

    That it is etcd counts once the node has the role: a server that is Ready may lack its labels for a moment
    (docs/k3s.md#labels-and-roles). A single member is a voter from the start, so `EtcdIsVoter` has nothing to add.
    """
    machine = _as_wanted(step.machine, context)
    if _has_etcd(machine, context) is True:
        return Done(changed=False)
    shell = context.findings.shells.need(machine.name)
    # The token encrypts the data that is copied: it must be the one that the server was started with.
    tokens = ClusterTokens(server=token_there(shell, context) or context.token)
    install(machine, shell, context, tokens=tokens, etcd=True, join=None)
    starting = start_unit(machine, shell, lane, context, restart=True, timeout_s=context.timeouts.server_s)
    await_api(machine, shell, lane, context, starting=starting)
    await_etcd(machine, lane, context)
    return Done()


def await_etcd(machine: MachineSpec, lane: str, context: RunContext) -> None:
    """Wait until the node of the only server says that it is in etcd. Raises DeadlineError."""
    condition = Condition(
        what=f"{machine.name} to be a member of etcd",
        poll=lambda: _has_etcd(machine, context),
        every_s=0.3,
        resolution=f"on {machine.name}: journalctl -u k3s; does config.yaml.d there set another datastore?",
    )
    wait_for(condition, context.wait_context(lane, context.timeouts.server_s))


def _as_wanted(machine: MachineSpec, context: RunContext) -> MachineSpec:
    """A machine with the labels and taints of its pool: one that was observed knows none, and its config names them."""
    pool = context.spec.control_plane
    return replace(machine, labels=machine.labels or pool.labels, taints=machine.taints or pool.taints)


def _has_etcd(machine: MachineSpec, context: RunContext) -> bool | NotYet:
    def member(kube_node: KubeNode | None) -> bool:
        return kube_node is not None and kube_node.ready and "etcd" in kube_node.roles

    try:
        kube_node = _kube(context).await_node(machine.name, accept=member, timeout_s=WINDOW_S)
    except KubeUnreachableError as error:
        return NotYet(str(error))
    if member(kube_node):
        return True
    return NotYet("Kubernetes has no node of it" if kube_node is None else kube_node.problem or "it has no etcd role")
