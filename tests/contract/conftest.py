"""The hosts the contract suite runs against."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from urllib3.exceptions import InsecureRequestWarning

from bootstrap.lab.memory import MemoryGuests
from bootstrap.lab.options import LabOptions
from bootstrap.lab.server import LabServer
from tests.contract.hosts import Host, real_host
from tests.contract.lab_host import LabHost

# Proxmox's waits of 3, 10 and 60 s shortened, but long enough to be seen.
SCALE = 0.02


@pytest.fixture(scope="session")
def lab_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabHost]:
    directory: Path = tmp_path_factory.mktemp("lab")
    options = LabOptions(guests="none", port=0, pve_version=8, cores=2, time_scale=SCALE)
    guests = MemoryGuests()
    server = LabServer(options, driver=guests, state_dir=directory)
    with server as info:
        host = LabHost(
            endpoint=info.endpoint,
            verify=str(directory / "lab.crt"),
            tokens={"admin": info.root_token, "norights": info.no_rights_token},
            vmids=tuple(range(201, 240)),
            scale=SCALE,
        )
        host.server, host.guests = server, guests
        host.fill_names(pve_node="pve1", template=9000, storage="local", bridge="vmbr0")
        yield host


@pytest.fixture(scope="session")
def real() -> Iterator[Host]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureRequestWarning)
        host = real_host()
        if host is None:
            pytest.skip("no real host: PROXMOX_VE_ENDPOINT is not set")
        yield host
