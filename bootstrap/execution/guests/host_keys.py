"""SSH host keys: as the guest agent reports them, else trusted on first use and kept. Any other is refused.

They are kept in the cluster's state directory, a file a VM, as OpenSSH reads them.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Callable
from ipaddress import IPv4Address

from bootstrap.errors import HostKeyError
from bootstrap.model.cluster import ClusterSpec, HostKeyPolicy
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import VmRecord
from bootstrap.planning.members.desired_machines import login_user
from bootstrap.ports import GuestShell, Ports, Warn
from bootstrap.records.state.host_key import parse_host_key, render_host_key
from bootstrap.records.state.state_items import known_hosts_item

LOGIN_TIMEOUT_S = 10.0
HOST_KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"


def host_key(vm: VmRecord, spec: ClusterSpec, ports: Ports) -> str | None:
    """A VM's SSH host key, type and key, as its guest agent reports it; a container's fingerprint as Proxmox VE does.

    Empty while the file has no key yet. None where no source confirms it: then the first key that it shows counts.

    Raises:
        PermissionDeniedError: The token may not read files in guests.
        AgentNotRunningError: No answer.
    """
    if spec.ssh.host_keys is HostKeyPolicy.ACCEPT_NEW:
        return None
    if vm.kind is MachineKind.LXC:
        return ports.hypervisor.container_host_key(vm.vmid, pve_node=vm.pve_node)
    fields = ports.hypervisor.read_guest_file(vm.vmid, pve_node=vm.pve_node, path=HOST_KEY_FILE).split()
    return " ".join(fields[:2]) if len(fields) > 1 else ""


def meet(
    name: MachineName, vm: VmRecord, address: IPv4Address, *, spec: ClusterSpec, ports: Ports, warn: Warn
) -> GuestShell:
    """Log in to a machine that has booted: `log_in` with its `host_key`, and the errors of both."""
    return log_in(name, vm, address, told=host_key(vm, spec, ports), spec=spec, ports=ports, warn=warn)


def log_in(
    name: MachineName,
    vm: VmRecord,
    address: IPv4Address,
    *,
    told: str | None,
    spec: ClusterSpec,
    ports: Ports,
    warn: Warn,
) -> GuestShell:
    """Log in to a machine whose host key is known, by Proxmox VE or from the first time.

    Args:
        name: The machine's.
        vm: Its VM.
        address: Where it is.
        told: Its host key, or the fingerprint of it, as Proxmox VE reports it; None where it reports none.
        spec: The cluster.
        ports: For the connection, and where keys are kept.
        warn: Called for a key that is trusted on first use.

    Raises:
        HostKeyError: It has another host key than reported, or than the first time.
        HomelabError: As `GuestShells.connect`; or the key cannot be kept.
    """

    def connect(host_key: str | None) -> GuestShell:
        user = login_user(spec, vm)
        return ports.shells.connect(name, address, user=user, host_key=host_key, timeout_s=LOGIN_TIMEOUT_S)

    if told is None:
        return _by_the_first(name, vm, connect, spec, ports, warn)
    if vm.kind is MachineKind.VM:
        return connect(told)
    try:
        shell = connect(told)
    except HostKeyError as error:
        error.resolution += "; if you have replaced the container's host keys: `ssh: {host_keys: accept-new}`"
        raise
    # For when Proxmox VE does not know it any more, and for OpenSSH.
    if not is_kept(vm, spec, ports, told=told):
        keep(name, vm, shell.host_key, spec, ports)
    return shell


def keep(name: MachineName, vm: VmRecord, host_key: str, spec: ClusterSpec, ports: Ports) -> None:
    """Keep a machine's host key, also for OpenSSH, in place of what was kept before."""
    ports.state.write(spec.name, known_hosts_item(vm), render_host_key(name, host_key))


def is_kept(vm: VmRecord, spec: ClusterSpec, ports: Ports, *, told: str | None = None) -> bool:
    """Whether a machine's host key is kept: one of the fingerprint that is reported, if one is."""
    key = parse_host_key(ports.state.read(spec.name, known_hosts_item(vm)))
    return key is not None and (told is None or fingerprint(key).endswith(f" {told}"))


def forget(vm: VmRecord, spec: ClusterSpec, ports: Ports) -> None:
    """Forget a machine that is gone, or has just been made."""
    ports.state.remove(spec.name, known_hosts_item(vm))


def _by_the_first(
    name: MachineName,
    vm: VmRecord,
    connect: Callable[[str | None], GuestShell],
    spec: ClusterSpec,
    ports: Ports,
    warn: Warn,
) -> GuestShell:
    """Log in to one that has the key of the first time, or for the first time."""
    item = known_hosts_item(vm)
    kept = parse_host_key(ports.state.read(spec.name, item))
    try:
        shell = connect(kept)
    except HostKeyError as error:
        if kept is not None:
            file = shlex.quote(str(ports.state.path(spec.name, item)))
            error.resolution += f"; if you have replaced the machine's host keys: rm {file}"
        raise
    if kept is not None:
        return shell
    try:
        counts = ports.state.put_first(spec.name, item, render_host_key(name, shell.host_key))
        _check_alone(name, shell.host_key, parse_host_key(counts))
    except BaseException:
        shell.close()
        raise
    warn(
        f"the SSH host key of {name} is trusted on first use, since no source confirms it: "
        f"{fingerprint(shell.host_key)}; any other key is refused from now on"
    )
    return shell


def _check_alone(name: MachineName, shown: str, counts: str | None) -> None:
    """Raise HostKeyError where another command has met another key at the same time."""
    if counts not in (None, shown):
        raise HostKeyError(
            f"{name}: the SSH host key is not the expected one",
            details=f"expected {fingerprint(str(counts))}\nfound {fingerprint(shown)}",
            resolution="another machine may have this address: look for a duplicate address or an old DHCP lease",
        )


def fingerprint(host_key: str) -> str:
    """A host key (`ssh-ed25519 AAAA...`) as a person compares it: `ssh-ed25519 SHA256:...`."""
    kind, _, text = host_key.partition(" ")
    try:
        digest = hashlib.sha256(base64.b64decode(text, validate=True)).digest()
    except ValueError:
        return host_key  # no key; the file was edited
    return f"{kind} SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
