"""How properties are tried, which tests come first, and which go to one worker of pytest-xdist."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# Speed is measured in benchmarks; a busy machine is no failure.
settings.register_profile("here", deadline=None)
settings.load_profile("here")

ROOT = Path(__file__).parent
BRIDGE = (
    "e2e/test_backup.py",
    "e2e/test_container.py",
    "e2e/test_day_two.py",
    "e2e/test_qemu.py",
    "e2e/test_several_nodes.py",
    "e2e/test_template.py",
    "e2e/test_vip.py",
    "lab/guests/",
)
"""Files whose labs need the one bridge of this machine (tests/bridge.py) all the time."""
LONG = ("kills/", "e2e/", "faults/", "lab/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that share the bridge come first, then those that wait long: no worker is left with one at the end."""
    items.sort(key=lambda item: _rank(item.path.relative_to(ROOT).as_posix()))


def _rank(path: str) -> int:
    return 0 if path.startswith(BRIDGE) else 1 if path.startswith(LONG) else 2


class ByFileAndBridge(LoadScopeScheduling):  # type: ignore[misc]
    """A file goes to one worker as a whole, and all that share the bridge to the same: nobody waits for it."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0].removeprefix("tests/")
        return "bridge" if path.startswith(BRIDGE) else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFileAndBridge:
    """Have pytest-xdist deal the tests out so."""
    return ByFileAndBridge(config, log)
