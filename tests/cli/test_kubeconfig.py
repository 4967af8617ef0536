"""What the command line says of kubeconfigs: what ours are called, and what kubectl uses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from bootstrap.adapters.kubeconfig.store import FileKubeconfigStore
from bootstrap.ports import Ports
from tests.cli.conftest import Run
from tests.fakes.world import World

UP = ("up", "--cluster", "demo", "--workers", "1", "--progress", "plain")
WORK = """\
current-context: work
clusters: [{name: work, cluster: {server: 'https://work'}}, {name: demo, cluster: {server: 'https://theirs'}}]
contexts: [{name: work, context: {cluster: work, user: work}}]
"""


@pytest.fixture
def config(state: Path, tmp_path: Path) -> Path:
    path = tmp_path / ".kube" / "config"
    path.parent.mkdir()
    path.write_text(WORK)
    path.chmod(0o600)
    return path


@pytest.fixture
def ports(world: World, config: Path) -> Ports:
    return replace(world.ports, kubeconfigs=FileKubeconfigStore({}, config.parent.parent))


def current(path: Path) -> str:
    return str(yaml.safe_load(path.read_text())["current-context"])


def test_the_next_command_has_the_context_that_ours_got(run: Run, ports: Ports, config: Path) -> None:
    result = run(*UP, ports=ports)
    assert result.stdout.splitlines()[-1] == "next: kubectl --context homelab-demo get nodes"
    assert f"demo in {config} belongs to another cluster; the new entry is called homelab-demo" in result.stderr
    assert "current-context is still work; `kubectl config use-context homelab-demo` switches" in result.stderr
    assert current(config) == "work"


def test_an_up_that_has_nothing_to_do_says_and_switches_nothing(run: Run, ports: Ports, config: Path) -> None:
    run(*UP, ports=ports)
    before = config.read_text()
    result = run(*UP, ports=ports)
    assert result.stdout == "demo: 2 machines, all Ready; nothing to do\n"
    assert "current-context" not in result.stderr
    assert config.read_text() == before


def test_up_switches_where_that_is_asked_for(run: Run, ports: Ports, config: Path) -> None:
    run(*UP, "--switch", ports=ports)
    assert current(config) == "homelab-demo"


def test_kubeconfig_switches_and_prints_no_secret(run: Run, ports: Ports, config: Path) -> None:
    run(*UP, ports=ports)
    result = run("kubeconfig", "--cluster", "demo", "--switch", ports=ports)
    assert (result.exit_code, result.stdout) == (0, f"current-context is homelab-demo, in {config}\n")
    assert current(config) == "homelab-demo"


def test_nothing_is_switched_to_where_nothing_is_merged(run: Run, world: World) -> None:
    result = run(*UP, "--kubeconfig", "-", "--switch")
    assert (result.exit_code, world.journal) == (2, [])
    assert "error: --kubeconfig - merges nothing, so --switch has no effect" in result.stderr
