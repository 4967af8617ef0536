"""The lab as a process: started, asked, refused, killed, stopped; nothing stays behind."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from bootstrap.lab import control
from bootstrap.lab.options import LabError, LabOptions
from bootstrap.lab.processes import is_running, process_start

OPTIONS = LabOptions(guests="none", port=0)


@pytest.fixture
def lab_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HOMELAB_K8S_LAB_DIR", str(tmp_path / "lab"))
    yield tmp_path / "lab"
    control.stop()


def test_a_lab_starts_answers_and_stops(lab_dir: Path) -> None:
    lines: list[str] = []
    info = control.start(OPTIONS, progress=lines.append)
    assert lines == ["guests: none (requested: VMs without guests)"]
    assert control.status() == info
    url = f"{info.endpoint}/api2/json/nodes"
    header = {"Authorization": f"PVEAPIToken={info.token_id}={info.token_secret}"}
    nodes = requests.get(url, headers=header, verify=str(lab_dir / "lab.crt"), timeout=10).json()["data"]
    assert [node["node"] for node in nodes] == ["pve1"]
    assert control.stop()
    assert control.status() is None
    assert not is_running(info.pid, info.pid_start)
    assert not lab_dir.exists()
    assert not control.stop()


def test_secrets_are_the_users_alone(lab_dir: Path) -> None:
    control.start(OPTIONS, progress=lambda _line: None)
    assert stat.S_IMODE(lab_dir.stat().st_mode) == 0o700
    for name in ("lab.json", "lab.key", "lab.log"):
        assert stat.S_IMODE((lab_dir / name).stat().st_mode) == 0o600, name


def test_a_second_start_finds_the_first(lab_dir: Path) -> None:
    lines: list[str] = []
    first = control.start(OPTIONS, progress=lines.append)
    assert control.start(OPTIONS, progress=lines.append) == first
    assert lines[-1] == f"the lab is already running at {first.endpoint}"
    with pytest.raises(LabError, match="with other options; stop it first") as refused:
        control.start(LabOptions(guests="none", port=0, cores=3), progress=lines.append)
    assert "cores: None there, 3 requested" in str(refused.value)


def test_a_killed_lab_is_noticed_and_cleared_away(lab_dir: Path) -> None:
    first = control.start(OPTIONS, progress=lambda _line: None)
    os.kill(first.pid, signal.SIGKILL)
    while is_running(first.pid, first.pid_start):
        time.sleep(0.01)
    assert control.status() is None
    lines: list[str] = []
    second = control.start(OPTIONS, progress=lines.append)
    assert lines[0] == "cleaning up after a killed lab"
    assert second.pid != first.pid
    os.kill(second.pid, signal.SIGKILL)
    assert control.stop()
    assert not lab_dir.exists()


def test_a_pid_of_another_process_is_no_lab(lab_dir: Path) -> None:
    info = control.start(OPTIONS, progress=lambda _line: None)
    control.stop()
    lab_dir.mkdir()
    own_start = process_start(os.getpid())
    assert own_start is not None
    text = info.to_json().replace(f'"pid": {info.pid}', f'"pid": {os.getpid()}')
    (lab_dir / "lab.json").write_text(text)
    (lab_dir / "process.json").write_text(f'{{"pid": {os.getpid()}, "pid_start": {own_start - 1}, "kind": "none"}}')
    assert control.status() is None
    assert control.stop(), "it must remove the files, and not this test"


def test_a_port_that_is_taken_is_passed_over(lab_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        info = control.start(LabOptions(guests="none", port=port), progress=lambda _line: None)
    assert port < int(info.endpoint.rsplit(":", 1)[1]) < port + 20


def test_a_lab_that_cannot_start_says_why_and_leaves_nothing(lab_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 65535))
        taken.listen()
        with pytest.raises(LabError, match=r"^ports 65535 to 65535 of 127\.0\.0\.1 are all in use$"):
            control.start(LabOptions(guests="none", port=65535), progress=lambda _line: None)
    assert control.status() is None
    assert not (lab_dir / "process.json").exists()


def test_options_that_cannot_be_start_nothing(lab_dir: Path) -> None:
    with pytest.raises(LabError, match="is not a loopback address"):
        control.start(LabOptions(guests="none", host="192.0.2.1"), progress=lambda _line: None)
    assert not lab_dir.exists()


def test_a_start_under_way_keeps_others_out(lab_dir: Path) -> None:
    from bootstrap.lab.lab_paths import lab_places

    with lab_places().locked(), pytest.raises(LabError, match="another start or stop"):
        control.start(OPTIONS, progress=lambda _line: None)
