"""A lab in a thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.lab.guest_memory import MemoryGuests
from bootstrap.lab.options import LabOptions
from bootstrap.lab.server import LabServer
from tests.lab.front.running import Lab


@pytest.fixture
def options() -> LabOptions:
    return LabOptions(guests="none", port=0, pve_nodes=2, cores=4, memory_mib=16384, time_scale=0.02)


@pytest.fixture
def lab(options: LabOptions, tmp_path: Path) -> Iterator[Lab]:
    guests = MemoryGuests()
    server = LabServer(options, driver=guests, state_dir=tmp_path)
    with server as info:
        yield Lab(server, info, guests, str(tmp_path / "lab.crt"))
