"""How properties are tried, and which tests come first."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# Speed is measured in benchmarks; a busy machine is no failure.
settings.register_profile("here", deadline=None)
settings.load_profile("here")

ROOT = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that wait long come first, so that no worker of pytest-xdist is left with one of them at the end."""
    first = ("kills/", "e2e/", "faults/", "lab/")
    items.sort(key=lambda item: not item.path.relative_to(ROOT).as_posix().startswith(first))
