"""The whole by commands, on simulated guests: no root, and a matter of seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.homes import PROGRAM, Home


def test_up_builds_a_cluster_that_kubectl_sees_ready(home: Home) -> None:
    up = home.run("up", "--lab", "--workers", "3", "-v")
    check_calls(home, up.err)
    command = [str(Path(sys.executable).parent / "kubectl"), "--kubeconfig", str(home.kubeconfig), "get", "nodes"]
    done = subprocess.run([*command, "-o", "json"], capture_output=True, text=True, check=True, timeout=60)
    nodes = {
        node["metadata"]["name"]: next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready")
        for node in json.loads(done.stdout)["items"]
    }
    assert nodes == {name: "True" for name in ("lab-cp-1", "lab-workers-1", "lab-workers-2", "lab-workers-3")}
    assert home.run("status", "--lab", "-o", "json").json["problems"] == []


def check_calls(home: Home, shown: str) -> None:
    """Calls of all three kinds are logged, each in a line, and no secret of the run is in them."""
    assert "proxmox POST /nodes/pve1/qemu/9000/clone -> 200 (" in shown
    assert "kubernetes GET /api/v1/nodes" in shown
    assert "ssh lab-cp-1: run install-k3s.sh -> status 0 (" in shown
    assert "ssh lab-cp-1: log in to debian@" in shown
    cluster = home.directory / "state" / "homelab-k8s" / "clusters" / "lab"
    key = (cluster / "id_ed25519").read_text().splitlines()
    lab = json.loads((home.directory / "state" / "homelab-k8s" / "lab" / "lab.json").read_text())
    secrets = [(cluster / item).read_text().strip() for item in ("token", "agent-token")]
    secrets += [*key[1:-1], lab["token_secret"]]
    assert all(len(secret) >= 8 for secret in secrets)
    assert [secret for secret in secrets if secret in shown] == []
    assert "PRIVATE KEY" not in shown


def test_a_second_up_has_nothing_to_do(home: Home) -> None:
    command = [PROGRAM, "up", "--lab", "--workers", "3"]  # the program itself: other tests fork one that has started
    done = subprocess.run(
        command, env=home.environ, cwd=home.directory, capture_output=True, text=True, check=True, timeout=300
    )
    assert "nothing to do" in done.stdout + done.stderr


def test_calls_are_shown_with_every_kind_of_progress_and_only_on_request(home: Home) -> None:
    for progress in ("tty", "plain", "json", "quiet"):
        shown = home.run("status", "--lab", "-v", "--progress", progress).err
        assert "GET /version -> 200 (" in shown, progress
        assert "kubernetes GET /api/v1/nodes -> 200 (" in shown, progress
        assert len(shown.splitlines()) >= 5, progress
        assert "GET /" not in home.run("status", "--lab", "--progress", progress).err


def test_a_users_command_is_shown_without_the_secrets_in_it(home: Home) -> None:
    done = home.run("exec", "--lab", "--machine", "cp-1", "-v", "--", "id --token=0123456789abcdef", expect=None)
    (call,) = [line for line in done.err.splitlines() if "ssh lab-cp-1: id" in line]
    assert "id --token=*** -> status 127 (" in call, "what the machine prints itself is shown as it is"


def test_down_removes_it_all(home: Home) -> None:
    home.run("down", "--lab", "--yes")
    left = home.run("status", "--lab", "-o", "json", expect=None).json["machines"]
    assert [machine["pve_node"] for machine in left] == [None] * len(left)
