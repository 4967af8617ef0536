"""Handlers of the steps that bring a machine's k3s to another version, or its data to another store."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.guests.paused import PauseWatch
from bootstrap.execution.guests.scripts import parse_facts
from bootstrap.execution.handlers.k3s.binary import fetched, send_k3s
from bootstrap.execution.handlers.k3s.join import install, token_there
from bootstrap.execution.k3s.agent_start import start_agent
from bootstrap.execution.k3s.node_looks import LOOK_S, missing
from bootstrap.execution.k3s.service import await_api, check_stays_up, restart_server, start_unit
from bootstrap.execution.run_facts import GuestFacts
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.model.observed import KubeNode
from bootstrap.planning.day2_steps import AwaitVersion, MigrateToEtcd, UpgradeK3s
from bootstrap.records.state.token_history import ClusterTokens
from bootstrap.waiting import NotYet


def upgrade_k3s(step: UpgradeK3s, context: RunContext) -> Done:
    """Install the version's binary and restart k3s with it: settings stay, and pods keep running."""
    machine = step.machine
    facts = _facts(machine, context)
    artifact = fetched(step.version, facts.arch, context)
    sent = ""
    if facts.k3s_sha256 != artifact.sha256:
        sent = send_k3s(artifact, context.shell(machine.name))
        # Binary, images and unit; config.yaml and the token stay, since none are sent.
        context.run(machine.name, "install-k3s.sh", ROLE=machine.role.k3s, SHA256=artifact.sha256)
    elif facts.runs_k3s and _runs(machine, step.version, context):
        return Done(changed=False)
    _restart(machine, step.version, context)
    return Done(note=sent)


def _facts(machine: MachineSpec, context: RunContext) -> GuestFacts:
    """The guest as it is now: on a second rung it is not what it was at the beginning."""
    known = context.guest(machine.name)
    told = context.run(machine.name, "facts.sh", UNIT=machine.role.unit)
    return parse_facts(told, machine=machine.name, address=known.address, address6=known.address6)


def _runs(machine: MachineSpec, version: str, context: RunContext) -> bool:
    """Whether Kubernetes says that the machine's kubelet is of a version: a binary that is there may not run yet."""
    kube_node = context.kube.await_kube_node(machine.name, accept=lambda _kube_node: True, timeout_s=LOOK_S)
    return kube_node is not None and kube_node.ready and kube_node.version == version


def _restart(machine: MachineSpec, version: str, context: RunContext) -> None:
    """Restart k3s, since nothing else has it run another binary, and wait until the new one runs.

    Source: docs/k3s.md#starting-and-restarting.

    That the unit is active is not enough: it may be the old process still, or one that is about to fail.
    """
    if machine.role is not Role.CONTROL_PLANE:
        start_agent(machine, context, restart=True, version=version)
        return

    def lacks(kube_node: KubeNode | None) -> str:
        if kube_node is None:
            return "Kubernetes has no node of it"
        return "" if kube_node.version == version else f"its kubelet says {kube_node.version}"

    def settled(_began: datetime) -> bool | NotYet:
        problem = missing(machine.name, lacks, context)
        return NotYet(problem) if problem else True

    restart_server(machine, context, what=f"to run {version}", settled=settled)


def await_version(step: AwaitVersion, context: RunContext) -> Done:
    """See the node Ready with a kubelet of the version.

    Ready alone can be stale for 40 s, the version cannot: only the new kubelet writes it, and Ready with it
    (docs/k3s.md#readiness).
    """
    pauses = PauseWatch(step.machine, context)

    def lacks(kube_node: KubeNode | None) -> str:
        if kube_node is None:
            return "it has not registered yet"
        if kube_node.version != step.version:
            return f"its kubelet is {kube_node.version or 'of unknown version'}"
        return "" if kube_node.ready else kube_node.problem or "not Ready"

    def poll() -> bool | NotYet:
        problem = missing(step.machine, lacks, context)
        if not problem:
            return True
        paused = pauses.look()
        if not paused:
            check_stays_up(step.machine, context)
        return NotYet(paused or problem)

    context.wait_for(
        f"the Kubernetes node {step.machine} to be Ready with {step.version}",
        poll,
        every_s=0.05,
        resolution=f"kubectl describe node {step.machine} shows what is missing",
        timeout_s=context.timeouts.ready_s,
    )
    return Done(changed=False, note=step.version)


def migrate_to_etcd(step: MigrateToEtcd, context: RunContext) -> Done:
    """Move the only server's data to embedded etcd; k3s copies it itself when it starts with `cluster-init`.

    That it is etcd counts once the node has the role: a server that is Ready may lack its labels for a moment
    (docs/k3s.md#labels-and-roles). A single member is a voter from the start, so `EtcdIsVoter` has nothing to add.
    """
    machine = _as_wanted(step.machine, context)
    if _has_etcd(machine, context) is True:
        return Done(changed=False)
    # The token encrypts the data that is copied: it must be the one that the server was started with.
    tokens = ClusterTokens(server=token_there(machine.name, context) or context.token)
    install(machine, context, tokens=tokens, etcd=True, join=None)
    await_api(machine, context, starting=start_unit(machine, context, restart=True))
    await_etcd(machine, context)
    return Done()


def await_etcd(machine: MachineSpec, context: RunContext) -> None:
    """Wait until the node of the only server says that it is in etcd. Raises DeadlineError."""
    context.wait_for(
        f"{machine.name} to be a member of etcd",
        lambda: _has_etcd(machine, context),
        every_s=0.3,
        resolution=f"on {machine.name}: journalctl -u k3s; does config.yaml.d there set another datastore?",
        timeout_s=context.timeouts.server_s,
    )


def _as_wanted(machine: MachineSpec, context: RunContext) -> MachineSpec:
    """A machine with the labels and taints of its pool: one that was observed knows none, and its config names them."""
    pool = context.spec.control_plane
    return replace(machine, labels=machine.labels or pool.labels, taints=machine.taints or pool.taints)


def _has_etcd(machine: MachineSpec, context: RunContext) -> bool | NotYet:
    def lacks(kube_node: KubeNode | None) -> str:
        if kube_node is None:
            return "Kubernetes has no node of it"
        member = kube_node.ready and "etcd" in kube_node.roles
        return "" if member else kube_node.problem or "it has no etcd role"

    problem = missing(machine.name, lacks, context)
    return NotYet(problem) if problem else True
