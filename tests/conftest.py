"""Which tests may run at the same time, and how properties are tried."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# Speed is measured in benchmarks; a busy machine is no failure.
settings.register_profile("here", deadline=None)
settings.load_profile("here")

ROOT = Path(__file__).parent
BRIDGE = ("e2e/test_container.py", "e2e/test_qemu.py", "kills/test_kills.py")
"""Labs with container or QEMU guests share one bridge on this machine: one at a time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With pytest-xdist a file's tests stay together, and all that need the lab's bridge do.

    Files that wait long come first, so that no worker is left with one of them at the end.
    """
    for item in items:
        file = item.path.relative_to(ROOT).as_posix()
        needs_guests = item.get_closest_marker("container") or item.get_closest_marker("qemu")
        on_bridge = file in BRIDGE and needs_guests is not None
        item.add_marker(pytest.mark.xdist_group("bridge" if on_bridge else file))
    first = ("e2e/", "kills/", "faults/", "lab/")
    items.sort(key=lambda item: not item.path.relative_to(ROOT).as_posix().startswith(first))
