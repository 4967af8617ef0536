"""The library's public names."""

from __future__ import annotations

import subprocess
import sys

import bootstrap

PUBLIC = {
    *("Homelab", "load_inventory", "Inventory", "Overrides", "ClusterSpec", "Plan", "Report", "Ports"),
    *("ClusterStatus", "MachineStatus", "RunOptions", "Timeouts", "KubeconfigTarget"),
    *("Event", "EventSink", "HomelabError", "events", "errors"),
}


def test_the_public_names_are_these_and_all_are_there() -> None:
    assert set(bootstrap.__all__) == PUBLIC
    assert len(PUBLIC) <= 25
    assert set(dir(bootstrap)) == PUBLIC
    for name in PUBLIC:
        assert getattr(bootstrap, name) is not None
    assert not hasattr(bootstrap, "nonsense")


def test_importing_the_library_imports_none_of_it() -> None:
    code = "import sys, bootstrap; print([name for name in sys.modules if name.startswith('bootstrap.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
