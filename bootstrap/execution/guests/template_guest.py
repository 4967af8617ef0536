"""The guest of a VM that is to become a template: its address, its host key, a login, and cloud-init's end."""

from __future__ import annotations

from ipaddress import IPv4Address

from bootstrap.errors import AgentNotRunningError, GuestError, HomelabError, SshUnreachableError
from bootstrap.execution.context import RunContext
from bootstrap.execution.guests.first_boot import await_cloud_init, await_host_key
from bootstrap.execution.guests.host_keys import log_in
from bootstrap.execution.guests.reconnecting_shell import ReconnectingShell
from bootstrap.execution.guests.scripts import parse_facts, run_script
from bootstrap.execution.run_facts import GuestFacts
from bootstrap.k3s.selinux import selinux_problem
from bootstrap.model.observed import VmRecord
from bootstrap.planning.capacity.addresses import choose_address
from bootstrap.planning.templates.steps import TemplateBuild
from bootstrap.ports import GuestShell
from bootstrap.waiting import NotYet


def meet_builder(build: TemplateBuild, vm: VmRecord, context: RunContext) -> GuestFacts:
    """Be logged in, with cloud-init done; the connection is in the findings."""
    address = _address(build, vm, context)
    host_key = await_host_key(vm, build.name, context)

    def login() -> GuestShell:
        spec, ports = context.spec, context.ports
        return log_in(build.key, vm, address, told=host_key, spec=spec, ports=ports, warn=context.warn)

    def poll() -> GuestShell | NotYet:
        try:
            return login()
        except SshUnreachableError as error:
            return NotYet(str(error))

    shell = context.wait_for(
        f"SSH on {build.name} ({context.spec.ssh.user}@{address})",
        poll,
        every_s=0.5,
        resolution=f"can this computer reach {address}? Is the VM in the right network, and is its port 22 open?",
        timeout_s=context.timeouts.ssh_s,
    )
    try:
        advice = "read /var/log/cloud-init-output.log there; is this a cloud image?"
        await_cloud_init(shell, build.name, context, failure=GuestError, advice=advice)
        told = run_script(shell, "facts.sh", timeout_s=context.timeouts.script_s)
        facts = parse_facts(told, machine=build.name, address=address)
    except HomelabError:
        shell.close()
        raise
    lacking = selinux_problem(build.name, told.lines)
    if lacking:
        context.warn(lacking)
    context.findings.shells.put(build.key, ReconnectingShell(shell, connect=login, warn=context.warn))
    return context.findings.guests.put(build.key, facts)


def _address(build: TemplateBuild, vm: VmRecord, context: RunContext) -> IPv4Address:
    def poll() -> IPv4Address | NotYet:
        try:
            interfaces = context.ports.hypervisor.guest_interfaces(vm.vmid, pve_node=vm.pve_node)
        except AgentNotRunningError as error:
            return NotYet(error.details or error.brief)
        chosen = choose_address(interfaces, mac=vm.mac, subnet=context.spec.network.subnet)
        return NotYet(chosen) if isinstance(chosen, str) else chosen

    return context.wait_for(
        f"the guest agent of {build.name} (vmid {vm.vmid} on {vm.pve_node}) to report its address",
        poll,
        every_s=1.0,
        resolution="check its console in Proxmox: does it boot, does it get an address, and could it install "
        "qemu-guest-agent from its distribution's mirror (see /var/log/cloud-init-output.log)?",
        timeout_s=context.timeouts.agent_s,
    )
