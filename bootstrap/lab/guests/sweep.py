"""Removes a killed lab's leftovers: processes, cgroups, network devices, routes, limits and files."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

from bootstrap.lab.guests.base import GuestError, LabNetwork
from bootstrap.lab.guests.host.cgroups import LabCgroups
from bootstrap.lab.guests.host.inotify import InotifyLimit
from bootstrap.lab.network import LabBridge

logger = logging.getLogger(__name__)

_OWN_DIRECTORIES = ("container", "qemu", "dhcp")
"""The drivers' folders below a lab's state directory."""


async def sweep(state_dir: Path, network: LabNetwork) -> tuple[str, ...]:
    """Remove everything that a lab of this name left, unless its process still runs.

    Mounts and network namespaces disappear with their processes.

    Args:
        state_dir: The lab's directory; only the guest drivers' folders in it are removed.
        network: The lab's bridge, by which its cgroups and devices are found.

    Returns:
        Names of the cgroups whose processes were ended.

    Raises:
        GuestError: Another process runs this lab, or the bridge is not a lab's.
    """
    bridge = LabBridge(network, state_dir)
    if await bridge.owner() == "other":
        raise GuestError(f"another process runs the lab on {network.bridge}; stop it first (homelab-k8s lab stop)")
    ended = await asyncio.to_thread(LabCgroups(network.bridge).remove_all)
    await bridge.down()
    put_back = await asyncio.to_thread(InotifyLimit().release, state_dir.absolute())
    if put_back:
        logger.info("%s", put_back)
    for name in _OWN_DIRECTORIES:
        directory = state_dir / name
        if directory.exists():
            await asyncio.to_thread(shutil.rmtree, directory)
    return ended
