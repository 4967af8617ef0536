"""The command line in this process, before an in-memory world."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Protocol

import pytest
from typer.testing import CliRunner, Result

from bootstrap.cli.main import app
from bootstrap.ports import Ports
from tests.fakes.world import World

SECRET = "11111111-2222-3333-4444-555555555555"


class Run(Protocol):
    """Types a command line; `input` is what stdin holds."""

    def __call__(self, *args: str, ports: Ports | None = ...) -> Result: ...


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own home, and an environment that is an inventory; the state directory."""
    for name in ("CI", "NO_COLOR", "PROXMOX_VE_INSECURE", "HOMELAB_K3S_ARTIFACTS", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")  # where kubectl is
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PROXMOX_VE_ENDPOINT", "https://192.0.2.1:8006")
    monkeypatch.setenv("PROXMOX_VE_API_TOKEN", f"test@pve!cli={SECRET}")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state" / "homelab-k8s"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def run(state: Path, world: World) -> Run:
    def typed(*args: str, ports: Ports | None = None) -> Result:
        return CliRunner().invoke(app, list(args), obj=ports or world.ports)

    return typed
