"""Where the program runs: Linux and macOS. Windows gets a word, before anything is imported that it does not have."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
WINDOWS = """
import importlib, os, signal, socket, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in {"fcntl", "grp", "pty", "pwd", "resource", "termios", "tty", "syslog"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
for module, names in {
    os: ("geteuid", "getuid", "getegid", "fork", "chown", "fchown", "O_DIRECTORY", "O_CLOEXEC", "O_NONBLOCK"),
    signal: ("SIGHUP", "SIGQUIT", "SIGKILL", "SIGPIPE"),
    socket: ("AF_UNIX",),
}.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
sys.platform = "win32"
before = set(sys.modules)
import atexit
atexit.register(lambda: print(*sorted(n for n in set(sys.modules) - before if n.startswith("bootstrap"))))
"""


def on_windows(start: str) -> subprocess.CompletedProcess[str]:
    """Run what a Windows console script runs, where modules and names of POSIX are missing."""
    return subprocess.run(
        [sys.executable, "-c", WINDOWS + start], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_on_windows_one_line_names_wsl() -> None:
    script = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["homelab-k8s"]
    module, _, function = script.partition(":")
    for start in (
        f"from {module} import {function}; sys.argv = ['homelab-k8s', 'up', '--lab']; sys.exit({function}())",
        "import runpy; sys.argv = ['bootstrap', '--help']; runpy.run_module('bootstrap', run_name='__main__')",
    ):
        done = on_windows(start)
        assert done.stderr.count("\n") == 1, done.stderr
        assert "WSL" in done.stderr
        assert done.returncode == 4
        assert set(done.stdout.split()) <= {"bootstrap", "bootstrap.__main__"}, "it imports nothing more"


def test_without_the_check_it_would_be_a_traceback() -> None:
    """What the test above takes away is really needed."""
    done = on_windows("from bootstrap.cli.main import main; main()")
    assert "Traceback" in done.stderr
