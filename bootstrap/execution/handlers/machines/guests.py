"""Handler of the step that meets a machine: address, host key, login, cloud-init's end."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from bootstrap.advice import Advice
from bootstrap.errors import (
    AgentNotRunningError,
    DeadlineError,
    GuestError,
    GuestSetupError,
    HomelabError,
    KeyRefusedError,
    SshUnreachableError,
)
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.guests.first_boot import await_cloud_init, await_host_key
from bootstrap.execution.guests.host_keys import log_in
from bootstrap.execution.guests.paused import PauseWatch
from bootstrap.execution.guests.reconnecting_shell import ATTEMPTS, ReconnectingShell
from bootstrap.execution.guests.scripts import Lines, parse_facts, run_script
from bootstrap.execution.guests.scripts import told as value_told
from bootstrap.execution.handlers.machines.vms import owned_vm
from bootstrap.execution.run_facts import GuestFacts
from bootstrap.k3s.dual_stack import own_address6
from bootstrap.k3s.selinux import selinux_problem
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import GuestInterface, VmRecord
from bootstrap.model.reading import LAST_UNIX_S
from bootstrap.planning.capacity.addresses import choose_address
from bootstrap.planning.members.authorize import authorizing_command
from bootstrap.planning.members.desired_machines import login_user
from bootstrap.planning.steps import AwaitGuest
from bootstrap.ports import GuestShell
from bootstrap.waiting import NotYet

KEY_REFUSALS = 10
"""How often a machine that runs already may refuse our key before that is final."""

OFF_LOOKS = 3
"""How often in a row a machine that was started is seen powered off before that is believed."""

_ADVERTISED = " (IPv6, too: does the network's router advertise a prefix?)"

CLOCK_OFF_S = 60.0
"""Certificates that k3s makes are valid from now on: to a machine whose clock is behind they are not valid yet."""


def await_guest(step: AwaitGuest, context: RunContext) -> Done:
    """Know the address and the host key, be logged in, and see cloud-init done.

    Where the connection drops all begins again: the machine may have another address now, or be off.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return _meet(step, context)
        except SshUnreachableError as error:
            context.warn(f"{error}; looking up the machine's address again")
    return _meet(step, context)


def _meet(step: AwaitGuest, context: RunContext) -> Done:
    vm = owned_vm(step.machine, context)
    address, address6 = _await_addresses(vm, step.machine, context)
    host_key = await_host_key(vm, step.machine, context)
    shell = _await_login(step.machine, vm, address, host_key, context)
    try:
        _settle(shell, step.machine, context)
        unit = vm.record.role.unit if vm.record else "k3s"
        told = run_script(shell, "facts.sh", timeout_s=context.timeouts.script_s, UNIT=unit)
    except HomelabError:
        shell.close()
        raise
    facts = parse_facts(told, machine=step.machine, address=address, address6=address6)
    lasting = ReconnectingShell(
        shell,
        connect=lambda: _await_login(step.machine, vm, address, host_key, context),
        warn=context.warn,
        boot=facts.boot,
        settle=lambda again: _settle(again, step.machine, context),
    )
    context.findings.shells.put(step.machine, lasting)
    lines = told.lines
    _check_clock(step.machine, lines, context)
    lacking = selinux_problem(step.machine, lines)
    if lacking:
        context.warn(lacking)
    _check_machine_id(step.machine, facts, context)
    context.findings.guests.put(step.machine, facts)
    return Done(changed=False, note=f"{address}, {address6}" if address6 is not None else str(address))


def _settle(shell: GuestShell, name: MachineName, context: RunContext) -> None:
    """Wait for cloud-init's end."""
    advice = "read /var/log/cloud-init.log there; most often the template's cloud-init config is wrong"
    warnings = await_cloud_init(shell, name, context, failure=GuestSetupError, advice=advice).get("warning", [])
    if warnings:
        context.warn(f"cloud-init on {name} finished with warnings: {'; '.join(warnings)}")


def _await_addresses(vm: VmRecord, name: MachineName, context: RunContext) -> tuple[IPv4Address, IPv6Address | None]:
    static = vm.record.address if vm.record else None
    off: list[str] = []
    pauses = PauseWatch(name, context)
    clock = context.ports.clock

    def poll() -> tuple[IPv4Address, IPv6Address | None] | NotYet:
        asked_s = clock.now_s()
        reason = context.pacing.why_not_yet(name, vm.pve_node, now_s=asked_s)
        if reason:
            return NotYet(reason)
        try:
            interfaces = context.ports.hypervisor.guest_interfaces(vm.vmid, pve_node=vm.pve_node)
        except AgentNotRunningError as error:
            context.pacing.silent(name, vm.pve_node, now_s=clock.now_s())
            _check_power(name, vm, error, off)
            return NotYet(pauses.look() or error.details or error.brief)
        context.pacing.answered(name, vm.pve_node, asked_s=asked_s, now_s=clock.now_s())
        off.clear()
        chosen = own_address(interfaces, vm, context)
        if isinstance(chosen, str):
            return NotYet(chosen)
        if static is not None and chosen != static:
            return NotYet(f"it has {chosen}, not {static} as configured")
        chosen6 = own_address6(interfaces, vm, context.spec.network.ipv6)
        return NotYet(chosen6) if isinstance(chosen6, str) else (chosen, chosen6)

    place = f"{name} (vmid {vm.vmid} on {vm.pve_node})"
    if vm.kind is MachineKind.LXC:
        what = f"the container {place} to have an address"
        advice = f"does it boot, is there a DHCP server on its bridge? On {vm.pve_node}: pct exec {vm.vmid} ip a"
    else:
        what = f"the guest agent of {place} to report its address"
        advice = (
            "check its console in Proxmox: does it boot, is qemu-guest-agent installed in the template, "
            f"does it get an address{_ADVERTISED if vm.ip6 == 'auto' else ''}? "
            f"On {vm.pve_node}: qm agent {vm.vmid} network-get-interfaces"
        )
    try:
        return context.wait_for(what, poll, timeout_s=context.timeouts.agent_s, every_s=0.25, resolution=advice)
    finally:
        context.pacing.left(name, vm.pve_node)


def own_address(interfaces: Iterable[GuestInterface], vm: VmRecord, context: RunContext) -> IPv4Address | str:
    """A machine's own IPv4 address among its interfaces', or why there is none."""
    vip = context.spec.vip
    return choose_address(
        interfaces,
        mac=vm.mac,
        subnet=context.spec.network.subnet,
        besides=(vip.address,) if vip else (),
    )


def _check_place(name: MachineName, vm: VmRecord, address: IPv4Address, off: list[str], context: RunContext) -> None:
    """Look again where a machine is that does not take us in.

    Raises:
        SshUnreachableError: It has another address now.
        GuestError: It is off again.
    """
    try:
        interfaces = context.ports.hypervisor.guest_interfaces(vm.vmid, pve_node=vm.pve_node)
    except AgentNotRunningError as error:
        _check_power(name, vm, error, off)
        return
    off.clear()
    now = own_address(interfaces, vm, context)
    if isinstance(now, IPv4Address) and now != address:
        raise SshUnreachableError(f"the address of {name} changed from {address} to {now}")


def _check_power(name: MachineName, vm: VmRecord, error: AgentNotRunningError, off: list[str]) -> None:
    """Raise GuestError for a machine that was started and is off again: waiting does not help."""
    if not any(f"{word} {vm.vmid} is not running" in error.details for word in ("VM", "CT")):
        off.clear()
        return
    off.append(error.details)
    if len(off) >= OFF_LOOKS:
        raise GuestError(
            f"{name} (vmid {vm.vmid} on {vm.pve_node}) was started, but is powered off again",
            details=error.details,
            resolution=f"was it stopped by hand, out of memory, or did the kernel panic? On {vm.pve_node}: "
            f"journalctl | grep {vm.vmid}, and its console",
        ) from error


def _await_login(
    name: MachineName, vm: VmRecord, address: IPv4Address, host_key: str | None, context: RunContext
) -> GuestShell:
    user = login_user(context.spec, vm)
    clock = context.ports.clock
    looked_s = [clock.now_s()]
    off: list[str] = []
    last: list[SshUnreachableError] = []
    fresh = context.findings.started_s.get(name) is not None
    refusals: list[str] = []
    pauses = PauseWatch(name, context)

    def poll() -> GuestShell | NotYet:
        try:
            return log_in(name, vm, address, told=host_key, spec=context.spec, ports=context.ports, warn=context.warn)
        except KeyRefusedError as error:
            last[:] = [error]
            refusals.append(error.details)
            if len(refusals) > KEY_REFUSALS and not fresh:
                raise _key_refused(vm, name, user, error, context) from error
            return NotYet(str(error))
        except SshUnreachableError as error:
            last[:] = [error]
            if clock.now_s() - looked_s[0] >= context.timeouts.place_look_s:
                looked_s[0] = clock.now_s()
                _check_place(name, vm, address, off, context)
            return NotYet(pauses.look() or str(error))

    try:
        return context.wait_for(
            f"SSH on {name} ({user}@{address})",
            poll,
            every_s=0.2,
            resolution=f"can this computer reach {address}? Is the VM in the right network, and is its port 22 open?",
            timeout_s=context.timeouts.ssh_s,
        )
    except DeadlineError as error:
        refused = last[-1] if last else None
        if isinstance(refused, KeyRefusedError):
            # It can be reached; the key is what is wrong.
            made_now = context.findings.cloned.get(name)
            found = refused if made_now else _key_refused(vm, name, user, refused, context)
            error.resolution = found.resolution
        raise


def _key_refused(vm: VmRecord, name: MachineName, user: str, error: KeyRefusedError, context: RunContext) -> GuestError:
    """A machine that has long booted and refuses our key was made with another one: waiting does not help."""
    own = context.spec.ssh.private_key is None
    where = "the cluster's state directory on the computer that created it (id_ed25519)"
    back = f"copy {where} here, or set it as ssh.private_key" if own else "set that key as ssh.private_key"
    public_key = context.ports.shells.public_key
    return GuestSetupError(
        f"{name}: sshd refuses our key for {user}",
        details=error.details,
        resolution=Advice(
            "the machine was created with another key: {}\nif that key is lost: `homelab-k8s adopt {}` has the guest "
            "agent add this one; or as root on {}:\n{}\nor replace the machine: `homelab-k8s replace {}`",
            back,
            context.spec.name,
            vm.pve_node,
            authorizing_command(vm.vmid, kind=vm.kind, user=user, public_key=public_key),
            name,
        ),
    )


def _check_machine_id(name: MachineName, facts: GuestFacts, context: RunContext) -> None:
    """Machines with one machine-id get one DHCP address and one Kubernetes identity (canonical/lxd#8717)."""
    other = context.findings.machine_ids.put_first(facts.machine_id, name)
    if other != name:
        raise GuestSetupError(
            f"{name} has the same machine-id as {other}",
            details=facts.machine_id,
            resolution="empty /etc/machine-id in the template (truncate -s 0 /etc/machine-id), then down and up",
        )


def _check_clock(name: MachineName, lines: Lines, context: RunContext) -> None:
    """Warn of a clock that is wrong: k3s starts, and then certificates and logs are not to be trusted."""
    time = value_told(lines, "time", machine=name)
    if time.absent:
        return
    ahead_s = time.integer(0, LAST_UNIX_S) - context.ports.processes.unix_s()
    if abs(ahead_s) >= CLOCK_OFF_S:
        side = "ahead of" if ahead_s > 0 else "behind"
        context.warn(
            f"the clock of {name} is {abs(ahead_s):.0f} s {side} this computer's: TLS may fail there; check that "
            "systemd-timesyncd or chrony runs in the template, and the clock of the Proxmox node"
        )
