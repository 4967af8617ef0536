"""No room where state, logs and recordings are: no traceback, nothing lost, and the run goes on where it can.

RLIMIT_FSIZE stands for the full disk: the write beyond it is refused (EFBIG) as one without room is (ENOSPC).
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("program.py")
MOST_BYTES = 200
KEEP = """
import sys
from pathlib import Path
from bootstrap.adapters.local.state import DirectoryStateStore
from bootstrap.errors import HomelabError
from bootstrap.model.ids import ClusterName

store = DirectoryStateStore(Path(sys.argv[1]))
try:
    getattr(store, sys.argv[2])(ClusterName("demo"), sys.argv[3], "x" * 5000)
except HomelabError as error:
    print(error.brief, error.details, error.resolution, sep="|")
"""


def limited(most_bytes: int) -> Callable[[], None]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    return limit


def run(*command: str, most_bytes: int = MOST_BYTES) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=limited(most_bytes),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # the limit would cut the interpreter's own files short
    )


@pytest.mark.parametrize("most_bytes", [0, 1, MOST_BYTES, 3000])
def test_a_log_and_a_recording_without_room_stop_no_run(state: Path, most_bytes: int) -> None:
    """logging wrote its own traceback over the terminal for each record, and closing the recording ended the run."""
    done = run(
        str(PROGRAM), "empty", "up", "--cluster", "demo", "--workers", "1", "--progress", "plain", most_bytes=most_bytes
    )
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout
    assert "Traceback" not in done.stderr
    assert "Logging error" not in done.stderr
    assert "the debug log is incomplete" in done.stderr


@pytest.mark.parametrize(("call", "item"), [("write", "token"), ("put_first", "empty")])
def test_a_state_file_without_room_is_told_and_the_old_one_stays(tmp_path: Path, call: str, item: str) -> None:
    directory = tmp_path / "homelab-k8s" / "clusters" / "demo"
    directory.mkdir(parents=True, mode=0o700)
    for private in (directory.parent.parent, directory.parent):
        private.chmod(0o700)
    (directory / "token").write_text("the old one")
    (directory / "empty").write_text("")
    done = run("-c", KEEP, str(tmp_path / "homelab-k8s"), call, item)
    assert done.returncode == 0, done.stderr
    brief, details, resolution = done.stdout.strip().split("|")
    assert brief.startswith("cannot write the state file")
    assert "too large" in details
    assert "free some" in resolution
    assert sorted(path.name for path in directory.iterdir()) == ["empty", "token"]
    assert (directory / "token").read_text() == "the old one"


def test_a_result_without_room_is_no_bug_of_ours(state: Path) -> None:
    """`homelab-k8s kubeconfig > FILE` on a full disk asked to report it."""
    with Path("/dev/full").open("w", encoding="ascii") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bootstrap", "init", "--pveum", "--pve-version", "9"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "could not be written" in done.stderr
    assert "free some" in done.stderr
    assert "Traceback" not in done.stderr
    assert "please report" not in done.stderr
