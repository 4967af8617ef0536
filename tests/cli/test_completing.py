"""Names that the shell completes: of this computer's own files, and what the Kubernetes API says at once."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bootstrap.cli.main import app
from tests.adapters.tls_peer import make_certificate, tls_peer

INVENTORY = "cluster: demo\nworkers: 2\ncontrol_plane: {count: 3}\npools: {gpu: {count: 1, cores: 8}}\n"
SNAPSHOT = "on-demand-demo-cp-1-1740787200"
SEEN = "on-demand-demo-cp-1-1750000000"
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
    environ = {
        "_HOMELAB_K8S_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    done = CliRunner().invoke(app, [], prog_name="homelab-k8s", env=environ)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def file(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An inventory, the state of two clusters, and a snapshot that was fetched."""
    for name in ("demo", "demo-2"):
        (state / "clusters" / name).mkdir(parents=True, mode=0o700)
    for directory in (state, state / "clusters"):
        directory.chmod(0o700)
    (state / "clusters" / "demo" / "known_hosts.1").write_text("demo-workers-7 ssh-ed25519 AAAA\n")
    (state / "snapshots" / "demo").mkdir(parents=True)
    (state / "snapshots" / "demo" / SNAPSHOT).write_text("")
    names = f"# format 1\n{int(time.time())} {SEEN}\n1740830400 on-demand-demo-cp-1-1750000001\n"
    (state / "clusters" / "demo" / "snapshot-names").write_text(names)
    (state / "runs").mkdir()
    (state / "runs" / "20260301-120000-up.jsonl").touch()
    (tmp_path / "cache" / "homelab-k8s" / "k3s" / "v1.33.3+k3s1").mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
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
        ("homelab-k8s ssh cp-", ["cp-1", "cp-2", "cp-3"]),
        ("homelab-k8s up --replace-unreachable demo-g", ["demo-gpu-1"]),
        ("homelab-k8s upgrade --to v1.33", ["v1.33.3+k3s1"]),
        ("homelab-k8s upgrade --channel s", ["stable"]),
        ("homelab-k8s restore on-demand-demo-cp-1-175", [SEEN]),
        ("homelab-k8s report 2026", ["20260301-120000-up"]),
        ("homelab-k8s kubeconfig --user ann --group e", ["edit"]),
        ("homelab-k8s status -o j", ["json"]),
        ("homelab-k8s backup --to s", ["s3"]),
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


def test_a_name_that_was_seen_long_ago_is_not_offered(file: Path) -> None:
    """k3s has removed that snapshot by now."""
    assert file.exists()
    assert "on-demand-demo-cp-1-1750000001" not in completed("homelab-k8s restore on-")


def kubeconfig(state: Path, server: str, cert_file: Path) -> None:
    """What a command left of the cluster demo, whose API is there."""
    authority = base64.b64encode(cert_file.read_bytes()).decode()
    user = {"client-certificate-data": authority, "client-key-data": encoded(cert_file.with_suffix(".key"))}
    config = {
        "current-context": "demo",
        "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "demo"}}],
        "clusters": [{"name": "demo", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": "demo", "user": user}],
    }
    (state / "clusters" / "demo" / "kubeconfig").write_text(json.dumps(config))


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


@pytest.mark.parametrize(
    ("line", "item", "names"),
    [
        ("homelab-k8s ssh demo-new", {"metadata": {"name": "demo-new-4"}}, ["demo-new-4"]),
        ("homelab-k8s ssh new", {"metadata": {"name": "demo-new-4"}}, ["new-4"]),
        ("homelab-k8s scale n", {"metadata": {"name": "demo-new-4"}}, ["new"]),
        ("homelab-k8s restore on-demand-x", {"spec": {"snapshotName": "on-demand-x-1"}}, ["on-demand-x-1"]),
        ("homelab-k8s kubeconfig --namespace k", {"metadata": {"name": "kube-system"}}, ["kube-system"]),
        (
            "homelab-k8s kubeconfig --revoke a",
            {"metadata": {"name": "x", "labels": {"homelab-k8s/user": "ann"}}},
            ["ann"],
        ),
        ("homelab-k8s ssh demo-new", {"metadata": {"name": "demo-new-4;touch ran"}}, []),
        ("homelab-k8s ssh demo-new", {"metadata": ["demo-new-4"]}, []),
    ],
)
def test_the_kubernetes_api_is_asked_with_the_kubeconfig_that_is_here(
    file: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, item: object, names: list[str]
) -> None:
    assert file.exists()
    monkeypatch.setattr("bootstrap.adapters.quick_names.WITHIN_S", 30.0)  # a busy machine is not what is tested
    with tls_peer(tmp_path, status=200, body=json.dumps({"items": [item]})) as peer:
        kubeconfig(state, peer.url, peer.cert_file)
        assert completed(line) == names
        assert peer.asked


def test_an_api_that_does_not_answer_is_not_waited_for(file: Path, state: Path, tmp_path: Path) -> None:
    assert file.exists()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kubeconfig(state, f"https://127.0.0.1:{silent.getsockname()[1]}", make_certificate(tmp_path))
        assert "demo-cp-1" in completed("homelab-k8s ssh demo-")


def test_nothing_is_written_and_no_secret_is_asked_for(file: Path, state: Path, tmp_path: Path) -> None:
    """The inventory's password manager is not run, and its endpoint, which may be anybody's, is not asked."""
    with socket.create_server(("127.0.0.1", 0)) as endpoint:
        url = f"https://127.0.0.1:{endpoint.getsockname()[1]}"
        endpoint.setblocking(False)
        command = f"{{command: [touch, {tmp_path}/ran]}}"
        file.write_text(f"{INVENTORY}proxmox: {{endpoint: '{url}', token: {command}, tls: {{insecure: true}}}}\n")
        before = sorted(state.rglob("*"))
        for line in ("homelab-k8s ssh d", "homelab-k8s restore ", "homelab-k8s scale ", "homelab-k8s up --cluster "):
            assert completed(line)
        with pytest.raises(BlockingIOError):
            endpoint.accept()
    assert sorted(state.rglob("*")) == before
    assert not (tmp_path / "ran").exists()


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
