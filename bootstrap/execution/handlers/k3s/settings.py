"""Handler of the step that brings changed settings to a machine that runs."""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Address

from bootstrap.advice import Advice
from bootstrap.errors import GuestError, HomelabError, InterruptedRunError, KubeUnreachableError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.guests.scripts import parse_guest_settings, parse_lines, run_script
from bootstrap.execution.handlers.k3s.join import CLUSTER
from bootstrap.execution.k3s.agent_start import Own, start_agent
from bootstrap.execution.k3s.kube_retries import once_it_answers
from bootstrap.execution.k3s.service import await_served, begin_start
from bootstrap.k3s.config import render_config
from bootstrap.k3s.settings import parse_args
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.model.observed import GuestSettings, KubeNode
from bootstrap.planning.day2_steps import ApplySettings
from bootstrap.planning.settings.drift import has_etcd, joins_by, runs_otherwise
from bootstrap.ports import GuestScript, GuestShell
from bootstrap.waiting import Condition, NotYet, wait_for

WINDOW_S = 2.0
"""How long one look at a Kubernetes node lasts; in between the machine itself is looked at."""


def apply_settings(step: ApplySettings, lane: str, context: RunContext) -> Done:
    """Have the settings on the machine's node, in its file, and k3s running with them.

    In this order a killed run is continued by the next one: until k3s was restarted it goes on telling
    of the settings that it was started with, also of labels that are to go.

    Raises:
        HomelabError: k3s does not come back with the settings; machines whose turn is later were not touched.
    """
    machine = step.machine
    shell = context.findings.shells.need(machine.name)
    files = _files(machine, shell, context)
    kube_node = _node(machine, lane, context)
    changed = _label(step, lane, context)
    config = _config(machine, kube_node, lane, context)
    script = GuestScript(name="put-settings.sh", env=(("DONE", "0"),), secret_files=(("config.yaml", config),))
    pending = parse_lines(shell.run(script, timeout_s=context.timeouts.script_s)).get("restart") == ["1"]
    if not pending and not runs_otherwise(context.spec, machine, kube_node, files):
        return Done(changed=changed)
    try:
        _restart(machine, shell, files, lane, context)
    except InterruptedRunError:
        raise
    except HomelabError as error:
        _say_which(step, files, error)
        raise
    run_script(shell, "put-settings.sh", context, DONE="1")
    return Done()


def _say_which(step: ApplySettings, files: GuestSettings, error: HomelabError) -> None:
    """Say which settings k3s does not start with, and how that is undone."""
    told = "; ".join(step.changes) or "the settings that were written"
    if files.others:
        told += f", and with those of {', '.join(file.name for file in files.others)}"
    error.details = f"{error.details}\nit was restarted with {told}".strip()
    where = "in the inventory, or in that file," if files.others else "in the inventory"
    also = Advice("; {}", error.resolution) if error.resolution else ""
    error.resolution = Advice(
        "the remaining machines were not changed; put the setting right {} and run `homelab-k8s up`, which "
        "begins with {}{}",
        where,
        step.machine.name,
        also,
    )


def _files(machine: MachineSpec, shell: GuestShell, context: RunContext) -> GuestSettings:
    """The settings files that are there now."""
    return parse_guest_settings(machine.name, run_script(shell, "read-settings.sh", context))


def _node(machine: MachineSpec, lane: str, context: RunContext) -> KubeNode:
    """Its Kubernetes node now. Raises GuestError where there is none any more."""
    kube = context.findings.access.need(CLUSTER).kube
    found = once_it_answers(
        lambda: [node for node in kube.kube_nodes() if node.name == machine.name],
        what=f"Kubernetes to report {machine.name}",
        lane=lane,
        context=context,
    )
    if not found:
        raise GuestError(
            f"{machine.name} left the cluster while settings were rolled out",
            resolution=Advice("`homelab-k8s up` joins it again with the new settings"),
        )
    return found[0]


def _label(step: ApplySettings, lane: str, context: RunContext) -> bool:
    """Have the labels and taints on the node; whether anything changed."""
    kube, machine = context.findings.access.need(CLUSTER).kube, step.machine
    return once_it_answers(
        lambda: kube.set_node_metadata(
            machine.name,
            labels=dict(machine.labels),
            taints=machine.taints,
            stale_labels=step.stale_labels,
            stale_taints=step.stale_taints,
        ),
        what=f"Kubernetes to label {machine.name}",
        lane=lane,
        context=context,
    )


def _config(machine: MachineSpec, kube_node: KubeNode, lane: str, context: RunContext) -> str:
    """The text of config.yaml; whom the machine joins by stays, where that can be."""
    guest = context.findings.guests.need(machine.name)
    named = next(iter(parse_args(kube_node.args or ()).get("server", ())), "")
    is_agent = machine.role is Role.WORKER
    join = _joins(joins_by(named), machine, lane, context) if named or is_agent else None
    etcd = has_etcd(kube_node)
    return render_config(context.spec, machine, address=guest.address, address6=guest.address6, etcd=etcd, join=join)


def _joins(named: IPv4Address | None, machine: MachineSpec, lane: str, context: RunContext) -> IPv4Address:
    """By which address it joins: the VIP, else a server that is there."""
    if context.spec.vip is not None:
        return context.spec.vip.address
    access = context.findings.access.need(CLUSTER)
    nodes = once_it_answers(access.kube.kube_nodes, what="Kubernetes to list its servers", lane=lane, context=context)
    servers = [node.address for node in nodes if "control-plane" in node.roles and node.name != machine.name]
    there = [address for address in (named, access.address, *servers) if address in servers]
    return next((address for address in there if address is not None), named or access.address)


def _restart(machine: MachineSpec, shell: GuestShell, files: GuestSettings, lane: str, context: RunContext) -> None:
    """Restart k3s and wait until it serves, by its own word with the new settings. Raises HomelabError."""
    if machine.role is Role.CONTROL_PLANE:
        _restart_server(machine, shell, files, lane, context)
        return
    address = context.findings.guests.need(machine.name).address
    kube = context.findings.access.need(CLUSTER).kube
    began: list[datetime] = []

    def own(since: datetime) -> Own:
        began.append(since)
        return Own(address=address, since=since)

    start_agent(machine, shell, lane, context, kube=kube, restart=True, own=own)
    condition = Condition(
        what=f"k3s on {machine.name} to report its new settings",
        poll=lambda: _settled(machine, files, own(began[0]), context),
        every_s=0.3,
        resolution=f"on {machine.name}: journalctl -u {machine.role.unit}",
    )
    wait_for(condition, context.wait_context(lane, context.timeouts.ready_s))


def _restart_server(
    machine: MachineSpec, shell: GuestShell, files: GuestSettings, lane: str, context: RunContext
) -> None:
    starting = begin_start(machine, shell, context, restart=True)
    own = Own(address=context.findings.guests.need(machine.name).address, since=starting.began)
    await_served(
        starting,
        shell,
        lane,
        context,
        what="to serve with its new settings",
        machine=machine,
        settled=lambda: _settled(machine, files, own, context),
    )


def _settled(machine: MachineSpec, files: GuestSettings, own: Own, context: RunContext) -> bool | NotYet:
    """Whether its kubelet has reported since the restart, is Ready, and k3s tells of the new settings."""

    def lacks(kube_node: KubeNode | None) -> str:
        missing = own.lacks(kube_node)
        if missing or kube_node is None:
            return missing
        if not kube_node.ready:
            return kube_node.problem or "not Ready"
        others = runs_otherwise(context.spec, machine, kube_node, files)
        return f"it runs with other settings: {'; '.join(map(str, others))}" if others else ""

    kube = context.findings.access.need(CLUSTER).kube
    try:
        problem = lacks(kube.await_node(machine.name, accept=lambda node: not lacks(node), timeout_s=WINDOW_S))
    except KubeUnreachableError as error:
        problem = str(error)  # the server that the run goes through may be the one that restarts
    return NotYet(problem) if problem else True
