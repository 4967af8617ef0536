"""A lab with a home of its own, and `homelab-k8s` run in it and measured."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootstrap.lab.options import LabInfo, LabOptions
from bootstrap.reporting.run import RecordedRun, parse_run

ROOT = Path(__file__).parent.parent
INVENTORY = Path(__file__).with_name("inventory.yaml")
PROGRAM = Path(sys.executable).with_name("homelab-k8s")
TEMPLATE_VMID = 9000


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a process used; `cpu_s` is user and system time, `peak_mib` its largest resident size."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    code: int
    out: str
    err: str


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A running lab with its home."""

    home: Path
    info: LabInfo

    @property
    def environ(self) -> dict[str, str]:
        """The environment of commands in this home."""
        return _environ(self.home)

    def homelab(self, *arguments: str, expect: int = 0) -> Usage:
        """Run `homelab-k8s`."""
        return measured([str(PROGRAM), *arguments], environ=self.environ, directory=self.home, expect=expect)

    def up(self, machines: int) -> Usage:
        """`up` with one server and as many workers as make up `machines`."""
        workers = str(machines - 1)
        return self.homelab("up", "--lab", "-i", str(INVENTORY), "--workers", workers, "--progress", "quiet")

    def down(self) -> Usage:
        """`down`."""
        return self.homelab("down", "--lab", "-i", str(INVENTORY), "--yes", "--progress", "quiet")

    def newest_run(self) -> RecordedRun:
        """The run that was recorded last."""
        runs = sorted((self.home / "state/homelab-k8s/runs").glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
        return parse_run(runs[-1].read_text(encoding="utf-8"))


@contextlib.contextmanager
def lab(options: LabOptions) -> Iterator[Lab]:
    """A lab that is stopped in the end, whatever happens; nothing of it stays."""
    with tempfile.TemporaryDirectory(prefix="homelab-k8s-bench-") as directory:
        home = Path(directory)
        environ = _environ(home)
        measured(
            [sys.executable, "-m", "bootstrap.lab.standin_release", str(home / "k3s")], environ=environ, directory=home
        )
        start = [sys.executable, "-m", "benchmarks.labs", json.dumps(options.to_dict())]
        try:
            measured(start, environ={**environ, "PYTHONPATH": str(ROOT)}, directory=home)
            yield Lab(home=home, info=LabInfo.from_json((home / "lab" / "lab.json").read_text(encoding="utf-8")))
        finally:
            measured([str(PROGRAM), "lab", "stop"], environ=environ, directory=home, expect=None)


def measured(command: Sequence[str], *, environ: Mapping[str, str], directory: Path, expect: int | None = 0) -> Usage:
    """Run a process to its end, and measure it and its children.

    Raises:
        RuntimeError: It ended with another exit code than `expect`.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began_s = time.monotonic()
        process = subprocess.Popen(
            command, env=dict(environ), cwd=directory, stdout=out, stderr=err, stdin=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - began_s
        process.returncode = code = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        said = (out.read().decode(errors="replace"), err.read().decode(errors="replace"))
    if expect is not None and code != expect:
        raise RuntimeError(f"{' '.join(command)} ended with {code}\n{said[0][-3000:]}\n{said[1][-3000:]}")
    return Usage(
        wall_s=wall_s,
        cpu_s=used.ru_utime + used.ru_stime,
        peak_mib=used.ru_maxrss / 1024,
        code=code,
        out=said[0],
        err=said[1],
    )


def _environ(home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PROXMOX_VE_", "HOMELAB_", "XDG_"))}
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    own: dict[str, Any] = {
        "HOME": home,
        "KUBECONFIG": home / "kubeconfig",
        "XDG_STATE_HOME": home / "state",
        "HOMELAB_K8S_LAB_DIR": home / "lab",
        "HOMELAB_K8S_LAB_CACHE": os.environ.get("HOMELAB_K8S_LAB_CACHE", f"{cache}/homelab-k8s/lab"),
        "HOMELAB_K3S_ARTIFACTS": home / "k3s",
        "NO_COLOR": "1",
        "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
    }
    return kept | {key: str(value) for key, value in own.items()}


def _start(options: str) -> None:
    """Start a lab in this process's environment, as `python -m benchmarks.labs OPTIONS` does."""
    from bootstrap.lab import control

    def tell(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    control.start(LabOptions.from_dict(json.loads(options)), progress=tell)


if __name__ == "__main__":
    _start(sys.argv[1])
