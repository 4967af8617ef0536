"""A real host of the environment, and the range of ids that is the suite's there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.contract.hosts import FEWEST_VMIDS, MARK, TASK_S, Host
from tests.contract.identities import Identities

PREFIX = "PROXMOX_VE_CONTRACT_"


class NotOursError(Exception):
    """Something that does not carry the suite's mark is where the suite wants to make its own."""


@contextmanager
def real_host(environ: Mapping[str, str] = os.environ) -> Iterator[Host]:
    """The host of the environment, with what the suite needs made there, and removed in the end.

    `PROXMOX_VE_ENDPOINT`, `PROXMOX_VE_API_TOKEN` (of root) name it; `PROXMOX_VE_INSECURE=1` leaves its certificate
    unchecked. `PROXMOX_VE_CONTRACT_VMIDS=990000-990009` lets the suite make and destroy VMs of these ids, a pool and
    two users; `PROXMOX_VE_CONTRACT_NODE`, `_TEMPLATE`, `_STORAGE` and `_BRIDGE` tell the rest.

    Raises:
        NotOursError: A VM in the range is not the suite's.
        ValueError: The range is none, or too small.
    """
    host = Host(
        endpoint=environ["PROXMOX_VE_ENDPOINT"].rstrip("/"),
        verify=environ.get("PROXMOX_VE_INSECURE") != "1",
        tokens={"admin": environ["PROXMOX_VE_API_TOKEN"]},
        vmids=parse_vmids(environ.get(PREFIX + "VMIDS", "")),
    )
    host.fill_names(
        pve_node=environ.get(PREFIX + "NODE", "pve1"),
        template=int(environ.get(PREFIX + "TEMPLATE", "9000")),
        storage=environ.get(PREFIX + "STORAGE", "local"),
        bridge=environ.get(PREFIX + "BRIDGE", "vmbr0"),
    )
    if not host.vmids:
        yield host
        return
    identities = Identities(host)
    sweep(host)
    identities.sweep()
    try:
        host.make_template()
        identities.make()
        yield host
    finally:
        sweep(host)
        identities.sweep()


def parse_vmids(text: str) -> tuple[int, ...]:
    """`990000-990009` as ids; an empty text is none."""
    if not text:
        return ()
    first, _, last = text.partition("-")
    found = tuple(range(int(first), int(last or first) + 1))
    if len(found) < FEWEST_VMIDS:
        raise ValueError(f"{PREFIX}VMIDS={text}: name {FEWEST_VMIDS} ids or more, as 990000-990009")
    return found


def sweep(host: Host) -> None:
    """Remove what an earlier run of the suite left in its range, also one that was killed.

    Raises:
        NotOursError: Something else is in the range; then nothing is removed.
    """
    left = [vmid for vmid in host.vmids if not host.is_free(vmid)]
    foreign = [text for vmid in left if (text := _why_not_ours(host, vmid))]
    if foreign:
        raise NotOursError(f"{PREFIX}VMIDS holds what is not the suite's: {'; '.join(foreign)}. Name a free range.")
    for vmid in sorted(left, key=lambda vmid: vmid == host.vmids[0]):  # the template last: clones stand on its disk
        host.remove(vmid)


def _why_not_ours(host: Host, vmid: int) -> str:
    """Why a VM of the range may not be removed; empty where it carries the mark."""
    config = _settled_config(host, vmid)
    if config is None:
        return f"{vmid} is not a VM of {host.names['node']}"
    if config.get("lock") == "clone":
        return f"VM {vmid} is locked by a clone that was cut off (qm unlock {vmid}; qm destroy {vmid})"
    if not str(config.get("description", "")).startswith(MARK):
        return f"VM {vmid} ({config.get('name', 'no name')}) has no description that starts with {MARK!r}"
    return ""


def _settled_config(host: Host, vmid: int) -> Mapping[str, Any] | None:
    """The VM's config once no clone works on it: those of a killed suite go on, and have the mark in the end."""
    deadline = time.monotonic() + TASK_S
    while True:
        reply = host.send("GET", f"/nodes/{host.names['node']}/qemu/{vmid}/config")
        if reply.status_code != 200:
            return None
        config: Mapping[str, Any] = reply.json()["data"]
        if config.get("lock") != "clone" or time.monotonic() > deadline:
            return config
        time.sleep(1.0)
