"""Handler of the step that brings changed settings to a machine that runs."""

from __future__ import annotations

from ipaddress import IPv4Address

from bootstrap.advice import Advice
from bootstrap.errors import GuestError, HomelabError, InterruptedRunError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.guests.scripts import parse_guest_settings
from bootstrap.execution.k3s.agent_start import Own, start_agent
from bootstrap.execution.k3s.kube_retries import KubeWrites, once_it_answers
from bootstrap.execution.k3s.node_looks import listed, missing
from bootstrap.execution.k3s.service import restart_server
from bootstrap.k3s.config import files_beside, render_config
from bootstrap.k3s.environment import check_beside_proxy
from bootstrap.k3s.settings import parse_args
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.model.observed import GuestSettings, KubeNode
from bootstrap.planning.day2_steps import ApplySettings
from bootstrap.planning.settings.drift import has_etcd, joins_by, runs_otherwise
from bootstrap.waiting import NotYet


def apply_settings(step: ApplySettings, context: RunContext) -> Done:
    """Put the settings on the machine's node and into its file, and restart k3s with them if needed.

    In this order a killed run is continued by the next one: until k3s was restarted it goes on reporting
    the settings that it was started with, also labels that are to go.

    Raises:
        HomelabError: k3s does not come back with the settings; machines whose turn is later were not touched.
    """
    machine = step.machine
    check_beside_proxy(context.spec, machine.name, context.guest(machine.name).address)
    files = parse_guest_settings(machine.name, context.run(machine.name, "read-settings.sh"))
    kube_node = _kube_node(machine, context)
    writes = KubeWrites(context)
    changed = writes.set_kube_node_metadata(
        machine.name,
        labels=dict(machine.labels),
        taints=machine.taints,
        stale_labels=step.stale_labels,
        stale_taints=step.stale_taints,
    )
    # Before anything is written: an agent that fails with new settings is Ready for a while, with its earlier ones.
    writes.mark_settings(machine.name, pending=True)
    config = _config(machine, kube_node, context)
    sent = {"config.yaml": config, **files_beside(context.spec, machine)}
    pending = context.run(machine.name, "put-settings.sh", files=sent, DONE="0").lines.flag("restart")
    if not pending and not runs_otherwise(context.spec, machine, kube_node, files):
        writes.mark_settings(machine.name, pending=False)
        return Done(changed=changed)
    try:
        _restart(machine, files, context)
    except InterruptedRunError:
        raise
    except HomelabError as error:
        _say_which(step, files, error)
        raise
    context.run(machine.name, "put-settings.sh", DONE="1")
    writes.mark_settings(machine.name, pending=False)
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


def _kube_node(machine: MachineSpec, context: RunContext) -> KubeNode:
    """Its Kubernetes node now. Raises GuestError where there is none any more."""
    found = once_it_answers(
        lambda: listed(machine.name, context.kube), what=f"Kubernetes to report {machine.name}", context=context
    )
    if found is None:
        raise GuestError(
            f"{machine.name} left the cluster while settings were rolled out",
            resolution=Advice("`homelab-k8s up` joins it again with the new settings"),
        )
    return found


def _config(machine: MachineSpec, kube_node: KubeNode, context: RunContext) -> str:
    """The text of config.yaml; the server that the machine joins by stays, if possible."""
    guest = context.guest(machine.name)
    named = next(iter(parse_args(kube_node.args or ()).get("server", ())), "")
    is_agent = machine.role is Role.WORKER
    join = _joins(joins_by(named), machine, context) if named or is_agent else None
    etcd = has_etcd(kube_node)
    return render_config(context.spec, machine, address=guest.address, address6=guest.address6, etcd=etcd, join=join)


def _joins(named: IPv4Address | None, machine: MachineSpec, context: RunContext) -> IPv4Address:
    """By which address it joins: the VIP, else a server that is there."""
    if context.spec.vip is not None:
        return context.spec.vip.address
    access = context.access
    kube_nodes = once_it_answers(access.kube.kube_nodes, what="Kubernetes to list its servers", context=context)
    servers = [each.address for each in kube_nodes if "control-plane" in each.roles and each.name != machine.name]
    there = [address for address in (named, access.address, *servers) if address in servers]
    return next((address for address in there if address is not None), named or access.address)


def _restart(machine: MachineSpec, files: GuestSettings, context: RunContext) -> None:
    """Restart k3s and wait until it serves, by its own word with the new settings. Raises HomelabError."""
    if machine.role is Role.CONTROL_PLANE:
        address = context.guest(machine.name).address
        restart_server(
            machine,
            context,
            what="to serve with its new settings",
            settled=lambda began: _settled(machine, files, Own(address=address, since=began), context),
        )
        return
    own = start_agent(machine, context, restart=True)
    context.wait_for(
        f"k3s on {machine.name} to report its new settings",
        lambda: _settled(machine, files, own, context),
        every_s=0.3,
        resolution=f"on {machine.name}: journalctl -u {machine.role.unit}",
        timeout_s=context.timeouts.ready_s,
    )


def _settled(machine: MachineSpec, files: GuestSettings, own: Own, context: RunContext) -> bool | NotYet:
    """Whether its kubelet has reported since the restart, is Ready, and k3s reports the new settings."""

    def lacks(kube_node: KubeNode | None) -> str:
        problem = own.lacks(kube_node)
        if problem or kube_node is None:
            return problem
        if not kube_node.ready:
            return kube_node.problem or "not Ready"
        others = runs_otherwise(context.spec, machine, kube_node, files)
        return f"it runs with other settings: {'; '.join(map(str, others))}" if others else ""

    problem = missing(machine.name, lacks, context)
    return NotYet(problem) if problem else True
