"""What is written into a container of the lab before it starts, as Proxmox VE does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncssh

from bootstrap.lab.front.configs.vmconfig import Made, container_spec
from bootstrap.lab.guests.containers.setup import HOST_KEY, set_up

CONFIG = {"hostname": "demo-light-1", "net0": "name=eth0,hwaddr=02:00:00:00:00:01,ip=dhcp", "rootfs": "local:x,size=8G"}


def made_in(root: Path, host_key: str) -> asyncssh.SSHKey:
    """Start a container for the first time; the host key in it."""
    spec = container_spec(7002, CONFIG, made=Made(machine_uuid="x", keys="ssh-ed25519 AAAA me", host_key=host_key))
    assert spec.setup is not None
    asyncio.run(set_up(root, spec, spec.setup))
    private = root / HOST_KEY
    assert private.stat().st_mode & 0o777 == 0o600
    found = asyncssh.read_private_key(private)
    assert asyncssh.read_public_key(f"{private}.pub").get_fingerprint() == found.get_fingerprint()
    return found


def test_it_has_the_host_key_that_was_made_with_it(tmp_path: Path) -> None:
    """Its fingerprint is in the log of the task, where the client looks for it."""
    made = asyncssh.generate_private_key("ssh-ed25519")
    text = made.export_private_key().decode()
    assert made_in(tmp_path, text).get_fingerprint() == made.get_fingerprint()
    other = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    assert made_in(tmp_path, other).get_fingerprint() == made.get_fingerprint(), "it is written once"


def test_one_that_was_made_without_gets_one_of_its_own(tmp_path: Path) -> None:
    assert made_in(tmp_path, "").algorithm == b"ssh-ed25519"
