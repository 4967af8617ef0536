"""Whether container guests can run a real k3s on this machine's kernel. `probe` tries; `lacks` decides, without I/O."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bootstrap.lab.guests.base import GuestError
from bootstrap.lab.guests.host.cgroups import LabCgroups
from bootstrap.lab.guests.host.hierarchies import NEEDED, CgroupLayout
from bootstrap.lab.guests.host.inotify import ENOUGH, SETTING
from bootstrap.lab.guests.tools import run
from bootstrap.lab.template.root import cached_root

LEAST_MEMORY_MIB = 1536
"""A server with its containerd needs 0.7 GiB, an agent 0.35; one of each, with a reserve."""

FEW_INOTIFY = 512
"""Instances for a few machines."""

_SCRIPT = Path(__file__).parent / "probe-kernel.sh"

_REMEDIES = {
    "overlay": "put the lab's directory on ext4, xfs or btrfs (HOMELAB_K8S_LAB_DIR)",
    "br_netfilter": "modprobe br_netfilter",
    "vxlan": "modprobe vxlan",
    "bridge": "modprobe bridge",
    "veth": "modprobe veth",
    "iptables": "modprobe nf_tables nf_nat xt_comment xt_conntrack xt_MASQUERADE",
}


@dataclass(frozen=True, kw_only=True)
class KernelFacts:
    """Facts about this machine's kernel.

    Attributes:
        layout: The cgroup hierarchies.
        delegated: On cgroup v2, whether the controllers can be passed on to guests; true on v1.
        tried: Names of the features tried (`probe-kernel.sh`), each with `ok` or the error.
        inotify: Inotify instances that root may have.
        inotify_writable: Whether the lab may change that.
        memory_mib: Memory that is free.
    """

    layout: CgroupLayout
    delegated: bool
    tried: Mapping[str, str]
    inotify: int
    inotify_writable: bool
    memory_mib: int


def lacks(facts: KernelFacts) -> tuple[str, ...]:
    """Why a real k3s cannot run in container guests, each with its remedy; empty if it can."""
    found = []
    missing = facts.layout.missing()
    if missing:
        found.append(f"no cgroup controller {', '.join(missing)} (cgroup {facts.layout.version})")
    elif not facts.delegated:
        found.append("the cgroup controllers cannot be passed on to guests: run the lab on the machine itself")
    for name, said in facts.tried.items():
        if said != "ok":
            remedy = f": {_REMEDIES[name]}" if name in _REMEDIES else ""
            found.append(f"no {name} ({said}){remedy}")
    if facts.inotify < FEW_INOTIFY and not facts.inotify_writable:
        found.append(
            f"{facts.inotify} inotify instances, and they cannot be raised from here: "
            f"sysctl fs.inotify.max_user_instances={ENOUGH}"
        )
    if facts.memory_mib < LEAST_MEMORY_MIB:
        found.append(f"{facts.memory_mib} MiB of free memory, of which the smallest cluster needs {LEAST_MEMORY_MIB}")
    return tuple(found)


def why_no_guests(facts: KernelFacts) -> str | None:
    """Why container guests cannot run at all; None if they can."""
    for name in ("namespaces", "overlay"):
        if facts.tried.get(name, "ok") != "ok":
            remedy = f"; {_REMEDIES[name]}" if name in _REMEDIES else ""
            return f"container guests do not run here: {name}: {facts.tried[name]}{remedy}"
    return None


def describe(facts: KernelFacts) -> str:
    """The facts in one line."""
    missing = facts.layout.missing()
    controllers = ", ".join(name for name in NEEDED if name not in missing) or "no controllers"
    things = ", ".join(name for name, said in facts.tried.items() if said == "ok")
    return f"cgroup {facts.layout.version} ({controllers}), {things}, {facts.memory_mib} MiB free"


async def probe(state_dir: Path) -> KernelFacts:
    """Examine this machine; needs root, and leaves nothing behind.

    Args:
        state_dir: The lab's directory, where the disks of guests will be.
    """
    cgroups = LabCgroups(f"probe-{os.getpid()}")
    try:
        delegated = cgroups.layout.version == "v1" or await asyncio.to_thread(cgroups.delegate)
    except OSError:
        delegated = False
    finally:
        await asyncio.to_thread(cgroups.remove_all)
    return KernelFacts(
        layout=cgroups.layout,
        delegated=delegated,
        tried=await _try(state_dir),
        inotify=int(SETTING.read_text(encoding="ascii")),
        inotify_writable=os.access(SETTING, os.W_OK),
        memory_mib=_free_mib(Path("/proc/meminfo").read_text(encoding="ascii")),
    )


async def _try(state_dir: Path) -> dict[str, str]:
    state_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".probe-", dir=state_dir) as work:
        try:
            said = await run(
                *("unshare", "--net", "--mount", "--propagation=private"),
                *("env", f"WORK={work}", f"ROOT={cached_root() or ''}", "/bin/sh", str(_SCRIPT)),
            )
        except GuestError as error:
            return {"namespaces": str(error)}
    return dict(line.split("\t", 1) for line in said.splitlines() if "\t" in line)


def _free_mib(meminfo: str) -> int:
    line = next(line for line in meminfo.splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) // 1024
