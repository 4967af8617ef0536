"""How properties are tried, which tests come first, and which go to one worker of pytest-xdist."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# Speed is measured in benchmarks; a busy machine is no failure.
settings.register_profile("here", deadline=None)
settings.load_profile("here")

ROOT = Path(__file__).parent
BRIDGE = ("container", "qemu")
"""Markers of tests whose lab needs the one bridge of this machine (tests/bridge.py)."""
LONG = ("kills/", "e2e/", "faults/", "lab/")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share the bridge go to one worker, so that the other does not wait for it; else a file stays together.

    They come first, and then files that wait long, so that no worker is left with one of them at the end.
    """
    for item in items:
        path = item.path.relative_to(ROOT).as_posix()
        shared = any(item.get_closest_marker(name) for name in BRIDGE)
        item.add_marker(pytest.mark.xdist_group("bridge" if shared else path))
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    if any(item.get_closest_marker(name) for name in BRIDGE):
        return 0
    return 1 if item.path.relative_to(ROOT).as_posix().startswith(LONG) else 2
