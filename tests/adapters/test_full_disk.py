"""A file system that is really full under the state directory and the kubeconfig: nothing is lost, and it is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("on_full_disk.py")
SIZE = "256k"


def _can_mount() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    mounting = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(mounting, check=False, capture_output=True).returncode == 0


needs_mounts = pytest.mark.skipif(not _can_mount(), reason="needs root, mount namespaces and tmpfs")


def tries(directory: Path, case: str) -> list[dict[str, Any]]:
    """What came of it with ever more room, until it went well."""
    inside = (
        f"mount -t tmpfs -o size={SIZE},mode=700 none {directory} && exec {sys.executable} {PROGRAM} {directory} {case}"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", inside], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


@needs_mounts
@pytest.mark.parametrize(("case", "fewest"), [("state", 2), ("first", 2), ("merge", 2), ("linked", 1), ("remove", 1)])
def test_a_full_file_system_leaves_the_old_file_and_no_other(tmp_path: Path, case: str, fewest: int) -> None:
    *refused, done = tries(tmp_path, case)
    assert len(refused) >= fewest, "there was room from the first"
    first = refused[0]
    for each in refused:
        assert "No space left on device" in each["refused"], each
        assert each["text"] == first["text"], "the old content, whole"
        strangers = [name for name in each["files"] if name not in first["files"] and not name.endswith(".bak")]
        assert strangers == [], "no temporary file stays"
    assert done["refused"] == ""
    assert done["text"] != first["text"]
    if case in ("merge", "linked", "remove"):
        assert "https://work" in first["text"]
        assert "https://work" in done["text"]
        assert ("192.0.2.10" in done["text"]) == (case != "remove")
    assert not [name for name in done["files"] if name.rpartition("/")[2].startswith(".")]
