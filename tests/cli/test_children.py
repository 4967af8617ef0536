"""Programs that we start or become get an environment without the secrets of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.cli.running.masking import Masker
from tests.cli.conftest import SECRET, Run
from tests.cli.test_process import started

UP = ("up", "--cluster", "demo", "--workers", "1")
TELLS_ITS_ENVIRONMENT = "#!/bin/sh\nenv >{}\n"
KEPT = {"HOME", "PATH", "SSH_AUTH_SOCK", "LANG", "TERM", "DISPLAY", "HOMELAB_K3S_ARTIFACTS"}


@pytest.fixture
def told(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where programs called `ssh` and the browser write their environment; ours has secrets."""
    told, program = tmp_path / "told", tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(TELLS_ITS_ENVIRONMENT.format(told))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setenv("BROWSER", f"{program} %s")
    for name, value in {
        "AWS_SECRET_ACCESS_KEY": "keykeykey-for-s3",
        "HOMELAB_K8S_PASSWORD": "a-password-of-ours",
        "COPY": f"root@pam!x={SECRET}",
        "SSH_AUTH_SOCK": "/run/agent",
    }.items():
        monkeypatch.setenv(name, value)
    return told


def check(environment: str) -> None:
    for secret in (SECRET, "keykeykey-for-s3", "a-password-of-ours"):
        assert secret not in environment
    assert "SSH_AUTH_SOCK=/run/agent\n" in environment


def test_ssh_gets_none_of_our_secrets(told: Path) -> None:
    """`SendEnv *` in the user's configuration handed them on to the machine."""
    with started("reached", "ssh", "cp-1", "--cluster", "demo", "--progress", "quiet") as process:
        process.communicate(timeout=60)
    check(told.read_text())


def test_a_browser_gets_none_of_our_secrets(told: Path, run: Run, tmp_path: Path) -> None:
    run(*UP)
    # A module of the current directory is not taken for Python's own either.
    (tmp_path / "webbrowser.py").write_text(f"open({str(tmp_path / 'planted')!r}, 'w')\n")
    assert run("report", "--open", "yes").exit_code == 0
    check(told.read_text())
    assert not (tmp_path / "planted").exists()


def test_what_is_no_secret_stays() -> None:
    masker = Masker()
    masker.add("known-to-be-secret")
    environ = {name: "x" for name in KEPT} | {
        "PROXMOX_VE_ENDPOINT": "y",
        "ODD": "a known-to-be-secret b",
        "K3S_TOKEN": "z",
    }
    assert set(masker.without_secrets(environ)) == KEPT
