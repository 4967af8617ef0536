"""Names that the shell completes; nothing is asked but this computer's own files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

INVENTORY = "cluster: demo\nworkers: 2\ncontrol_plane: {count: 3}\npools: {gpu: {count: 1, cores: 8}}\n"
ROOT = Path(__file__).parents[2]
SNAPSHOT = "on-demand-demo-cp-1-1740787200"
ATTACKS = (
    "g$(touch ran)",
    "g`touch ran`",
    "g;touch ran;",
    "g' ; touch ran ; '",
    'g" ; touch ran ; "',
    "g)) ; touch ran ; ((",
)
"""Names of pools that begin with g, as anyone who writes an inventory may have them."""


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
    assert done.stderr == ""
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
    (state / "snapshots" / "demo" / SNAPSHOT).write_text("")
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
        ("homelab-k8s restore ", ["latest", SNAPSHOT]),
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


BASH = """
eval "$(_HOMELAB_K8S_COMPLETE=source_bash homelab-k8s)"
COMP_WORDS=({line}) COMP_CWORD=2
_homelab_k8s_completion homelab-k8s
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
FISH = """
_HOMELAB_K8S_COMPLETE=source_fish homelab-k8s | source
complete -C '{line}'
"""
ZSH = """
zmodload zsh/zpty
zpty shell 'zsh -f -i'
zpty -w shell 'PS1=; autoload -U compinit; compinit -u -D'
zpty -w shell 'eval "$(_HOMELAB_K8S_COMPLETE=source_zsh homelab-k8s)"; PS1=at-the-pro""mpt'
zpty -r shell said $'*at-the-prompt*'
zpty -w -n shell $'{line}\\t'
zpty -w shell $' # end'
zpty -r shell said $'*# end*'
print -r -- "$said"
zpty -d shell
"""


def in_a_shell(program: str, script: str, here: Path) -> str:
    """What a shell says that has our completion, without a word on stderr."""
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program} here")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [program, "-c", script],
        env={**os.environ, "PATH": path, "HOME": str(here), "TERM": "dumb"},
        cwd=here,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(("program", "script"), [("bash", BASH), ("fish", FISH), ("zsh", ZSH)])
def test_real_shells_complete_names(file: Path, program: str, script: str) -> None:
    file.write_text("cluster: demo\nworkers: 0\n")
    assert "demo-workers-7" in in_a_shell(program, script.format(line="homelab-k8s logs demo-work"), file.parent)


@pytest.mark.parametrize(("program", "script"), [("bash", BASH), ("fish", FISH), ("zsh", ZSH)])
def test_a_hostile_file_runs_nothing_when_tab_is_pressed(file: Path, program: str, script: str) -> None:
    """zsh evaluates what it is told, and an inventory may come with a directory that somebody unpacked."""
    file.write_text("cluster: demo\npools: {" + ", ".join(f"{json.dumps(each)}: 1" for each in ATTACKS) + "}\n")
    in_a_shell(program, script.format(line="homelab-k8s scale g"), file.parent)
    assert not (file.parent / "ran").exists()


def test_what_cannot_be_read_is_not_a_word_on_the_terminal(file: Path, state: Path) -> None:
    (state / "clusters" / "demo" / "known_hosts.2").write_bytes(b"\xff\xfe")
    (state / "clusters" / "demo" / "known_hosts.3").write_text("x" * 2_000_000)
    (state / "snapshots" / "demo" / f"{SNAPSHOT}.json").mkdir()
    state.chmod(0o777)
    for line in ("homelab-k8s ssh d", "homelab-k8s restore ", "homelab-k8s status --cluster "):
        completed(line)
