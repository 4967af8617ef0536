"""Fixtures: the lab's front, the adapter connected to it, a VM, a lossy connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.lab.guest_memory import MemoryGuests
from bootstrap.lab.options import LabOptions
from bootstrap.lab.server import LabServer
from bootstrap.model.ids import Vmid
from tests.adapters.proxmox.pve_lab import VM, Lab, Relay, clone_request


@pytest.fixture
def start_lab() -> Iterator[Callable[..., Lab]]:
    labs: list[Lab] = []

    def start(**options: Any) -> Lab:
        guests = MemoryGuests()
        server = LabServer(LabOptions(**{"guests": "none", "port": 0, "time_scale": 0.02, **options}), driver=guests)
        info = server.__enter__()
        labs.append(Lab(server=server, info=info, guests=guests))
        labs[-1].record_requests()
        return labs[-1]

    yield start
    for made in labs:
        made.close()


@pytest.fixture
def lab(start_lab: Callable[..., Lab]) -> Lab:
    return start_lab()


@pytest.fixture
def hypervisor(lab: Lab) -> ProxmoxHypervisor:
    return lab.connect()


@pytest.fixture
def relay(lab: Lab) -> Iterator[Relay]:
    parts = urlsplit(lab.info.endpoint)
    made = Relay((str(parts.hostname), int(parts.port or 0)))
    yield made
    made.close()


@pytest.fixture
def vm(lab: Lab, hypervisor: ProxmoxHypervisor) -> Vmid:
    """A stopped clone of the template."""
    hypervisor.clone(clone_request(), warn=lab.warnings.append)
    return VM
