"""What Proxmox VE itself writes into a container before it starts (pve-container: PVE::LXC::Setup)."""

from __future__ import annotations

from pathlib import Path

import asyncssh

from bootstrap.lab.guests.base import ContainerSetup, GuestSpec
from bootstrap.lab.guests.tools import run
from bootstrap.lab.template.layers import make_guest_dir

HOST_KEY = "etc/ssh/ssh_host_ed25519_key"


async def set_up(root: Path, spec: GuestSpec, setup: ContainerSetup) -> None:
    """Write names, network, root's keys and, the first time, the host key: the given one, or a new one.

    Args:
        root: The guest's own layer.
        spec: The guest.
        setup: The values.
    """
    for directory in ("etc/cloud", "etc/ssh", "etc/systemd/network", "root/.ssh"):
        make_guest_dir(root / directory)
    # The lab's system has cloud-init; a container template has not.
    (root / "etc/cloud/cloud-init.disabled").touch()
    (root / "etc/hostname").write_text(f"{spec.name}\n", encoding="utf-8")
    hosts = f"127.0.0.1 localhost\n127.0.1.1 {spec.name}\n::1 localhost\n"
    (root / "etc/hosts").write_text(hosts, encoding="utf-8")
    (root / "etc/systemd/network/eth0.network").write_text(_network(setup), encoding="utf-8")
    (root / "root/.ssh").chmod(0o700)
    authorized = root / "root/.ssh/authorized_keys"
    authorized.write_text(setup.keys.strip() + "\n", encoding="utf-8")
    authorized.chmod(0o600)
    host_key = root / HOST_KEY
    if not host_key.exists() and setup.host_key:
        host_key.touch(mode=0o600)
        host_key.write_text(setup.host_key, encoding="utf-8")
        public = asyncssh.import_private_key(setup.host_key).export_public_key()
        host_key.with_name(f"{host_key.name}.pub").write_bytes(public)
    if not host_key.exists():
        await run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"root@{spec.name}", "-f", str(host_key))


def _network(setup: ContainerSetup) -> str:
    lines = ["[Match]", "Name=eth0", "", "[Network]"]
    if setup.address is None:
        lines.append("DHCP=ipv4")
    else:
        lines.append(f"Address={setup.address}")
        lines += [f"Gateway={setup.gateway}"] if setup.gateway is not None else []
    return "\n".join(lines) + "\n"
