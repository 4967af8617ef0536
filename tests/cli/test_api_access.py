"""`tunnel`, `kubectl` and what `kubeconfig` says of a jump host."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import yaml

from bootstrap.commands.access.tunnel import usual_port
from bootstrap.errors import SshUnreachableError
from tests.cli.conftest import Run
from tests.cli.test_process import started
from tests.fakes.specs import DEMO
from tests.fakes.world import World

UP = ("up", "--cluster", "demo", "--workers", "1")
KUBECTL = """#!/bin/sh
printf '<%s>' "$@"
echo
stat -c %a "$KUBECONFIG"
echo "$KUBECONFIG"
cat "$KUBECONFIG"
case "$1" in kill) kill -TERM $$ ;; wait) exec sleep 60 ;; esac
exit 7
"""


@pytest.fixture
def kubectl(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kubectl that prints its arguments and its kubeconfig, and ends with 7."""
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    program.write_text(KUBECTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


@pytest.mark.usefixtures("kubectl")
def test_kubectl_gets_a_kubeconfig_of_its_own_for_as_long_as_it_runs() -> None:
    with started("reached", "kubectl", "--cluster", "demo", "--", "get", "pods", "-A", "-o", "wide") as process:
        out, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (7, "")
    words, mode, path, *config = out.splitlines()
    assert (words, mode) == ("<get><pods><-A><-o><wide>", "600")
    assert not Path(path).parent.exists()
    (cluster,) = yaml.safe_load("\n".join(config))["clusters"]
    assert cluster["cluster"]["server"] == "https://192.0.2.10:6443"


@pytest.mark.usefixtures("kubectl")
def test_kubectl_that_a_signal_ends_ends_us_with_it() -> None:
    with started("reached", "kubectl", "--cluster", "demo", "--", "kill") as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    assert not Path(out.splitlines()[2]).parent.exists()


@pytest.mark.usefixtures("kubectl")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_are_passed_on(number: signal.Signals) -> None:
    with started("reached", "kubectl", "--cluster", "demo", "--", "wait", session=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        path = next(line.strip() for line in lines if line.startswith("/"))
        next(line for line in lines if line.startswith("current-context"))
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == -number
    assert not Path(path).parent.exists()


def test_without_kubectl_it_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run(*UP)
    monkeypatch.setenv("PATH", "/nonexistent")
    result = run("kubectl", "--cluster", "demo", "--", "get", "nodes")
    assert result.exit_code == 1
    assert "error: kubectl is not installed on this computer" in result.stderr
    assert "homelab-k8s ssh --cluster demo cp-1 -- sudo k3s kubectl get nodes" in result.stderr


@pytest.mark.parametrize("command", [("kubectl", "--", "get", "nodes"), ("tunnel",)])
@pytest.mark.usefixtures("kubectl")
def test_without_a_cluster_there_is_nothing_to_reach(run: Run, command: tuple[str, ...]) -> None:
    result = run(command[0], "--cluster", "demo", *command[1:])
    assert result.exit_code == 1
    assert "there is no kubeconfig of the cluster demo on this machine" in result.stderr


def test_behind_a_jump_host_every_text_leads_over_it(run: Run, world: World) -> None:
    world.jump = "me@bastion"
    assert run(*UP).stdout.splitlines()[-1] == "next: homelab-k8s kubectl --cluster demo -- get nodes"
    printed = run("kubeconfig", "--cluster", "demo")
    assert "https://192.0.2.10:6443" in printed.stdout
    assert "the cluster is reached only over me@bastion" in printed.stderr
    assert "`homelab-k8s kubeconfig --cluster demo --tunnel`" in printed.stderr
    for options, port in (((), usual_port(DEMO)), (("--port", "4711"), 4711)):
        result = run("kubeconfig", "--cluster", "demo", "--tunnel", *options)
        (cluster,) = yaml.safe_load(result.stdout)["clusters"]
        assert cluster["cluster"]["server"] == f"https://127.0.0.1:{port}"
        assert cluster["cluster"]["tls-server-name"] == "192.0.2.10"
        assert result.stderr == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tunnel", "--switch"), "--switch and --tunnel do not go together"),
        (("--port", "4711"), "--port is for --tunnel"),
    ],
)
def test_options_that_do_not_go_together_are_refused(run: Run, options: tuple[str, ...], words: str) -> None:
    run(*UP)
    result = run("kubeconfig", "--cluster", "demo", *options)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_tunnel_says_where_it_leads_and_ends_with_ctrl_c(run: Run, world: World) -> None:
    run(*UP)
    world.jump = "me@bastion"
    world.journal.clear()
    result = run("tunnel", "--cluster", "demo")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"127.0.0.1:{usual_port(DEMO)} leads to https://192.0.2.10:6443 over me@bastion; Ctrl-C ends it",
        "next: `homelab-k8s kubeconfig --cluster demo --tunnel` prints a kubeconfig for it",
    ]
    assert world.journal == ["tunnel to 192.0.2.10:6443", "tunnel closed"]
    assert "--tunnel --port 4711`" in run("tunnel", "--cluster", "demo", "--port", "4711").stdout


@pytest.mark.usefixtures("kubectl")
def test_a_jump_host_that_is_not_reached_is_an_error_before_kubectl_starts(run: Run, world: World) -> None:
    run(*UP)
    world.jump = "me@bastion"
    world.jump_problem = SshUnreachableError("the jump host me@bastion cannot be reached", details="timed out")
    result = run("kubectl", "--cluster", "demo", "--", "get", "nodes")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: the jump host me@bastion cannot be reached" in result.stderr
