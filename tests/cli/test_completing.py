"""Names that the shell completes; nothing is asked but this computer's own files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

INVENTORY = "cluster: demo\nworkers: 2\ncontrol_plane: {count: 3}\npools: {gpu: {count: 1, cores: 8}}\n"
ROOT = Path(__file__).parents[2]


def completed(line: str) -> list[str]:
    """What bash gets for a line whose last word is begun."""
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-c", "from bootstrap.cli.main import main; main()"],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "_HOMELAB_K8S_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.stdout.split()


@pytest.fixture
def file(state: Path, tmp_path: Path) -> Path:
    """An inventory, the state of two clusters, and a snapshot that was fetched."""
    for name in ("demo", "demo-2"):
        (state / "clusters" / name).mkdir(parents=True, mode=0o700)
    for directory in (state, state / "clusters"):
        directory.chmod(0o700)
    (state / "clusters" / "demo" / "known_hosts.1").write_text("demo-workers-7 ssh-ed25519 AAAA\n")
    (state / "snapshots" / "demo").mkdir(parents=True)
    (state / "snapshots" / "demo" / "on-demand-demo-cp-1-1740787200").write_text("")
    path = tmp_path / "homelab-k8s.yaml"
    path.write_text(INVENTORY)
    return path


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("homelab-k8s status --cluster d", ["demo", "demo-2"]),
        ("homelab-k8s adopt demo-", ["demo-2"]),
        ("homelab-k8s ssh demo-w", ["demo-workers-1", "demo-workers-2", "demo-workers-7"]),
        ("homelab-k8s logs demo-cp-", ["demo-cp-1", "demo-cp-2", "demo-cp-3"]),
        ("homelab-k8s replace demo-gpu", ["demo-gpu-1"]),
        ("homelab-k8s scale ", ["control-plane", "gpu", "workers"]),
        ("homelab-k8s exec --pool g", ["gpu"]),
        ("homelab-k8s restore ", ["latest", "on-demand-demo-cp-1-1740787200"]),
        ("homelab-k8s ssh --cluster demo-2 demo-2-g", ["demo-2-gpu-1"]),
        ("homelab-k8s explain network.d", ["network.dns"]),
    ],
)
def test_names_are_completed(file: Path, line: str, names: list[str]) -> None:
    assert file.exists()
    told = completed(line)
    assert set(names) <= set(told)
    assert all(each.startswith(line.rpartition(" ")[2]) for each in told)


@pytest.mark.parametrize(
    "text", ["", "cluster: [", "workers: many\ncluster: {}", "\x00", "cluster: demo\nworkers: " + "9" * 5000]
)
def test_a_file_that_is_wrong_completes_nothing_and_breaks_nothing(file: Path, text: str) -> None:
    file.write_text(text)
    assert "gpu" not in completed("homelab-k8s scale ")
    file.unlink()
    os.mkfifo(file)
    assert "gpu" not in completed("homelab-k8s scale ")
