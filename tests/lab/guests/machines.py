"""Making specs of guests and finding what they leave on this machine."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from bootstrap.lab.guests.base import AgentSilentError, GuestDriver, GuestSpec, LabNetwork, NoCloudSeed
from bootstrap.lab.guests.host.cgroups import LAB_CGROUP
from bootstrap.lab.guests.host.hierarchies import read_layout
from bootstrap.lab.guests.host.inotify import REGISTER

NETWORK = LabNetwork(
    bridge="hktest0",
    gateway=IPv4Interface("198.19.0.1/16"),
    dhcp_first="198.19.100.1",
    dhcp_last="198.19.199.254",
)
"""A lab of the tests' own, beside one that may be running."""


INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")


@contextmanager
def bridge_alone() -> Iterator[None]:
    """Keep other test processes off the tests' bridge."""
    with (Path(tempfile.gettempdir()) / f"{NETWORK.bridge}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_spec(
    vmid: int, *, public_key: str, address: str | None = None, agent: bool = True, disk_gib: int = 0
) -> GuestSpec:
    """A guest's spec with a seed as Proxmox renders it; DHCP where no address is given."""
    mac = f"BC:24:11:{vmid >> 16 & 255:02X}:{vmid >> 8 & 255:02X}:{vmid & 255:02X}"
    if address is None:
        subnet = "      - type: dhcp4\n"
    else:
        subnet = (
            f"      - type: static\n        address: '{address}'\n"
            f"        netmask: '255.255.0.0'\n        gateway: '{NETWORK.gateway.ip}'\n"
        )
    seed = NoCloudSeed(
        meta_data=f"instance-id: test-{vmid}\n",
        user_data=(
            f"#cloud-config\nhostname: guest{vmid}\nmanage_etc_hosts: true\nuser: tester\n"
            f"ssh_authorized_keys:\n  - {public_key}\nchpasswd:\n  expire: false\n"
            "users:\n  - default\npackage_upgrade: true\n"
        ),
        network_config=(
            "version: 1\nconfig:\n  - type: physical\n    name: eth0\n"
            f"    mac_address: '{mac.lower()}'\n    subnets:\n{subnet}"
        ),
    )
    return GuestSpec(
        vmid=vmid,
        name=f"guest{vmid}",
        mac=mac,
        smbios_uuid=str(uuid.uuid4()),
        cores=1,
        memory_mib=512,
        disk_gib=disk_gib,
        agent_enabled=agent,
        seed=seed,
    )


async def eventually(what: str, probe: Callable[[], Awaitable[Any]], *, timeout_s: float, pause_s: float = 0.2) -> Any:
    """The first true answer of a probe; fails the test with what was waited for."""
    end = time.monotonic() + timeout_s
    last: Any = None
    while time.monotonic() < end:
        last = await probe()
        if last:
            return last
        await asyncio.sleep(pause_s)
    raise AssertionError(f"{what}: not within {timeout_s:g} s; last seen: {last!r}")


async def address_of(driver: GuestDriver, spec: GuestSpec) -> str | None:
    """The IPv4 address that the guest's own agent reports for the interface with the spec's MAC."""
    try:
        interfaces = await driver.agent(spec.vmid, "guest-network-get-interfaces")
    except AgentSilentError:
        return None
    for interface in interfaces:
        if interface.get("hardware-address", "").upper() == spec.mac:
            assert interface["name"] == "eth0"
            for address in interface.get("ip-addresses", []):
                if address["ip-address-type"] == "ipv4":
                    return str(address["ip-address"])
    return None


async def ssh(address: str, key: Path, command: str) -> tuple[int, str]:
    """Run a command in a guest over real SSH."""
    process = await asyncio.create_subprocess_exec(
        *("ssh", "-F", "none", "-i", str(key), "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"),
        # A guest that powers off takes its network along, without a word to the other end.
        *("-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=3"),
        *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
        *(f"tester@{address}", command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode(errors="replace")


async def log_in(address: str, key: Path, *, timeout_s: float) -> None:
    """Wait until the guest lets us in."""

    async def attempt() -> bool:
        return (await ssh(address, key, "true"))[0] == 0

    await eventually(f"SSH to {address}", attempt, timeout_s=timeout_s)


def leftovers(state_dir: Path) -> dict[str, Any]:
    """What a lab of the tests' network has on this machine, by kind; empty lists where nothing is."""
    links = json.loads(_output("ip", "-json", "link", "show"))
    rules = json.loads(_output("ip", "-json", "rule", "show"))
    layout = read_layout()
    mounts_of_cgroups = [layout.unified or Path("/nonexistent"), *(one.mount for one in layout.legacy)]
    groups = [mount / LAB_CGROUP / NETWORK.bridge for mount in mounts_of_cgroups]
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return {
        "links": [link["ifname"] for link in links if link["ifname"].startswith(NETWORK.bridge)],
        "rules": [rule for rule in rules if rule.get("iif") == NETWORK.bridge],
        "cgroups": [str(group) for group in groups if group.exists()],
        "limits": [lab for lab in _holders_of_limits() if lab == str(state_dir)],
        "processes": _processes_naming(str(state_dir)),
        "mounts": [line for line in mounts if str(state_dir) in line],
        "files": [str(path) for path in state_dir.rglob("*")],
    }


def _holders_of_limits() -> list[str]:
    """The labs that need this machine's limits raised; what they are is for all labs to say together."""
    note = REGISTER / "inotify.json"
    try:
        return list(json.loads(note.read_text(encoding="utf-8"))["holders"])
    except FileNotFoundError:
        return []


def _processes_naming(text: str) -> list[str]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = (folder / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if text in line or f"GUEST_DIR={text}" in environment:
                found.append(line)
    return found


def _output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout or "[]"
