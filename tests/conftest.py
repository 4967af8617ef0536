"""How properties are tried, which tests come first, and which go to one worker of pytest-xdist."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# Speed is measured in benchmarks; a busy machine is no failure.
settings.register_profile("here", deadline=None)
settings.register_profile("few", deadline=None, max_examples=10)
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
    "kills/test_container_kills.py",
)
"""Files whose labs need the one bridge of this machine (tests/bridge.py) all the time."""
GUESTS = ("lab/guests/",)
"""Those that need the other bridge, which guests without a lab have (tests/lab/guests/machines.py), ..."""
GUESTS_TOO = ("lab/simulated/", "[container]")
"""... and which tests of other files need as well: where they are, and how their names end."""
LONG = ("kills/", "faults/", "e2e/", "docs/", "lab/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no worker is left with it at the end."""
    items.sort(key=lambda item: _rank(item.nodeid))


def _rank(nodeid: str) -> int:
    scope = _scope(nodeid)
    if scope in ("bridge", "guests"):
        return ("bridge", "guests").index(scope) * 2
    return 1 if scope.startswith(LONG[:2]) else 3 if scope.startswith(LONG) else 4


def _scope(nodeid: str) -> str:
    """What goes to one worker as a whole: a file, or all tests that would wait for each other."""
    path = nodeid.partition("::")[0].removeprefix("tests/")
    if path.startswith(BRIDGE):
        return "bridge"
    needs_guests = path.startswith(GUESTS) or (path.startswith(GUESTS_TOO[0]) and nodeid.endswith(GUESTS_TOO[1]))
    return "guests" if needs_guests else path


class ByFileAndBridge(LoadScopeScheduling):  # type: ignore[misc]
    """A file goes to one worker as a whole, and all that share a bridge to the same: nobody waits for it."""

    def _split_scope(self, nodeid: str) -> str:
        return _scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFileAndBridge:
    """Have pytest-xdist deal the tests out so."""
    return ByFileAndBridge(config, log)
