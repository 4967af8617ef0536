"""`lab start|status|stop` and `--lab`, before a real lab whose VMs have no life."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bootstrap.cli.main import app


def typed(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


@pytest.fixture
def lab(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An own place for a lab, which is stopped at the end."""
    pytest.importorskip("fakepve")
    monkeypatch.setenv("HOMELAB_K8S_LAB_DIR", str(tmp_path / "lab"))
    monkeypatch.delenv("PROXMOX_VE_ENDPOINT")
    monkeypatch.delenv("PROXMOX_VE_API_TOKEN")
    yield
    typed("lab", "stop", "--progress", "quiet")


def test_without_a_lab_there_is_nothing_to_use_or_stop(lab: None) -> None:
    result = typed("lab", "status")
    assert (result.exit_code, result.stdout) == (1, "no lab is running; start one with `homelab-k8s lab start`\n")
    assert json.loads(typed("lab", "status", "-o", "json").stdout) == {"running": False}
    assert typed("lab", "stop").stdout == "no lab is running; nothing to do\n"
    result = typed("status", "--lab")
    assert result.exit_code == 1
    assert "error: no lab is running" in result.stderr


def test_a_lab_gets_no_secret_of_the_environment(lab: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on when we have ended, and starts programs, QEMU among them."""
    monkeypatch.setenv("PROXMOX_VE_API_TOKEN", "root@pam!x=not-for-the-lab")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-for-the-lab")
    assert typed("lab", "start", "--guests", "none").exit_code == 0
    pid = json.loads(typed("lab", "status", "-o", "json").stdout)["pid"]
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"HOMELAB_K8S_LAB_DIR=" in environment
    assert b"not-for-the-lab" not in environment


def test_a_lab_is_as_large_and_as_slow_as_asked_for(lab: None, tmp_path: Path) -> None:
    size = ("--cores", "6", "--memory", "24GiB", "--delays", "agent=3..4")
    result = typed("lab", "start", "--guests", "none", *size)
    assert result.exit_code == 0, result.output
    plan = typed("up", "--lab", "--control-plane-cores", "7", "--k3s-version", "v1.33.3+k3s1", "--dry-run")
    assert plan.exit_code == 4
    assert "6" in plan.stderr
    options = json.loads((tmp_path / "lab" / "lab.json").read_text())["options"]
    assert (options["cores"], options["memory_mib"], options["delays"]) == (6, 24576, "agent=3..4")


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--memory", "24"), 2, "--memory must be a size such as"),
        (("--delays", "agent:3"), 1, "'agent:3' is not NAME=SECONDS"),
        (("--cores", "0"), 1, "cores: 0 is less than 1"),
    ],
)
def test_a_lab_that_cannot_be_is_refused(lab: None, args: tuple[str, ...], code: int, said: str) -> None:
    result = typed("lab", "start", "--guests", "none", *args)
    assert result.exit_code == code
    assert said in result.stderr
    assert typed("lab", "status").exit_code == 1


def test_a_lab_is_started_shown_used_and_stopped(lab: None, tmp_path: Path) -> None:
    result = typed("lab", "start", "--guests", "none", "--pve-nodes", "2")
    assert result.exit_code == 0, result.output
    assert "the lab is running at https://127.0.0.1:" in result.stdout
    info = json.loads(typed("lab", "status", "-o", "json").stdout)
    assert (info["running"], info["guests"], info["pve_nodes"]) == (True, "none", ["pve1", "pve2"])

    plan = typed("up", "--lab", "--workers", "2", "--k3s-version", "v1.33.3+k3s1", "--dry-run", "-o", "json")
    assert plan.exit_code == 0, plan.output
    assert [machine["name"] for machine in json.loads(plan.stdout)["machines"]] == [
        "lab-cp-1",
        "lab-workers-1",
        "lab-workers-2",
    ]

    inventory = tmp_path / "mine.yaml"
    inventory.write_text("cluster: mine\nworkers: 0\nproxmox: {endpoint: https://192.0.2.9:8006}\ntemplate: other\n")
    plan = typed("up", "--lab", "-i", str(inventory), "--k3s-version", "v1.33.3+k3s1", "--dry-run", "-o", "json")
    assert [machine["name"] for machine in json.loads(plan.stdout)["machines"]] == ["mine-cp-1"]

    again = typed("lab", "start", "--guests", "none", "--pve-nodes", "3")
    assert again.exit_code == 1
    assert "a lab is already running" in again.stderr
    secret = json.loads((tmp_path / "lab" / "lab.json").read_text())["token_secret"]
    for log in (tmp_path / "state").rglob("*.log"):
        assert secret not in log.read_text()
    assert typed("lab", "stop").stdout == "the lab is stopped and removed\n"
    assert not (tmp_path / "lab").exists()


def test_the_lab_says_which_k3s_it_takes_and_why_and_up_takes_that(lab: None, tmp_path: Path) -> None:
    result = typed("lab", "start", "--guests", "simulated", "--time-scale", "0")
    assert result.exit_code == 0, result.output
    assert "k3s: the STAND-IN, since simulated guests run nothing else" in result.stderr
    assert "k3s       the STAND-IN, since simulated guests run nothing else" in result.stdout
    told = json.loads(typed("lab", "status", "-o", "json").stdout)["k3s"]
    assert told["source"] == "stand-in"
    # Without it, `up` would ask for a release on the internet.
    plan = typed("up", "--lab", "--workers", "1", "--dry-run")
    assert plan.exit_code == 0, plan.output
    for binary in Path(told["artifacts"]).glob("k3s*"):
        binary.unlink()
    assert typed("up", "--lab", "--workers", "1", "--dry-run").exit_code != 0
    assert typed("lab", "stop").exit_code == 0
    assert not Path(told["artifacts"]).exists()


def test_an_artifact_directory_that_is_named_later_counts(
    lab: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert typed("lab", "start", "--guests", "simulated", "--time-scale", "0").exit_code == 0
    monkeypatch.setenv("HOMELAB_K3S_ARTIFACTS", str(tmp_path / "mine"))
    plan = typed("up", "--lab", "--workers", "1", "--dry-run")
    assert plan.exit_code == 3
    assert f"{tmp_path}/mine does not exist" in plan.stderr
