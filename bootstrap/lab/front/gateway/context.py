"""Shared parts of the gateway's handlers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bootstrap.lab.delays import Delays
from bootstrap.lab.faults.active import Faults
from bootstrap.lab.front.gateway.passing import Passer
from bootstrap.lab.front.ha_manager import HaManager
from bootstrap.lab.options import LabOptions
from bootstrap.lab.supervisor import Supervisor

MIB = 1024**2
SIMULATED_CORES, SIMULATED_MEMORY_MIB = 128, 512 * 1024


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What each of the lab's Proxmox nodes has.

    Attributes:
        cores: Logical CPUs.
        memory_bytes: RAM.
        cpu_model: Model name as /proc/cpuinfo has it.
        cpu_flags: CPU flags, blank-separated.
        mhz: Clock as text, as Proxmox reports it.
    """

    cores: int
    memory_bytes: int
    cpu_model: str
    cpu_flags: str
    mhz: str


def measure_capacity(options: LabOptions) -> Capacity:
    """This machine's figures; the options override them."""
    fields: dict[str, str] = {}
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():  # macOS has none
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    cores, memory = os.cpu_count() or 1, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if options.guests == "simulated":  # they use nothing of this machine
        cores, memory = SIMULATED_CORES, SIMULATED_MEMORY_MIB * MIB
    return Capacity(
        cores=options.cores or cores,
        memory_bytes=options.memory_mib * MIB if options.memory_mib else memory,
        cpu_model=fields.get("model name", fields.get("Processor", "unknown")),
        cpu_flags=fields.get("flags", fields.get("Features", "")),
        mhz=fields.get("cpu MHz", "0"),
    )


@dataclass(frozen=True, kw_only=True)
class Front:
    """The parts a handler works with.

    Attributes:
        pve: The `FakePve` that holds nodes, VMs, tasks, storages and rights.
        passer: Client of its own HTTP server.
        supervisor: Runs the guests of VMs.
        capacity: What each Proxmox node has.
        options: What the lab was started with.
        fingerprint: SHA-256 of the certificate the gateway shows.
        ha: Proxmox HA.
        faults: What goes wrong.
        delays: How long Proxmox's own work takes; none where VMs have real guests or no guests.
        datacenter: What was set with `PUT /cluster/options`, as it was given.
    """

    pve: Any
    passer: Passer
    supervisor: Supervisor
    ha: HaManager
    capacity: Capacity
    options: LabOptions
    fingerprint: str
    faults: Faults
    delays: Delays
    datacenter: dict[str, Any] = field(default_factory=dict)
