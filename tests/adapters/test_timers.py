"""Units of systemd: written, started and removed, with a systemctl that notes what it is asked to do."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap.adapters.local.timers import SystemdTimers
from bootstrap.cli.text.units import cron_line, render_units
from bootstrap.errors import HomelabError, UsageError

TIMER = "homelab-k8s-maintain-demo.timer"
UNITS = {"homelab-k8s-maintain-demo.service": "[Service]\n", TIMER: "[Timer]\n"}


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """What systemctl was asked, a line each; it refuses where a file `refuses` is there."""
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\n'
        f"if [ -e {tmp_path}/refuses ]; then echo 'Failed to connect to bus' >&2; exit 1; fi\n"
    )
    program.chmod(0o755)
    return tmp_path / "asked"


@pytest.fixture
def timers(tmp_path: Path, asked: Path, monkeypatch: pytest.MonkeyPatch) -> SystemdTimers:
    monkeypatch.setenv("PATH", f"{asked.parent}/bin:/usr/bin:/bin")
    environ = {"HOME": str(tmp_path), "PATH": f"{asked.parent}/bin:/usr/bin:/bin"}
    return SystemdTimers(environ=environ, booted=tmp_path, system=tmp_path / "system")


@pytest.mark.parametrize("system", [True, False])
def test_units_are_written_for_all_to_read_started_and_removed(
    timers: SystemdTimers, tmp_path: Path, asked: Path, *, system: bool
) -> None:
    directory = tmp_path / ("system" if system else ".config/systemd/user")
    user = "" if system else "--user "
    for _ in range(2):
        timers.install(UNITS, timer=TIMER, system=system)
    assert {path.name: path.read_text() for path in directory.iterdir()} == UNITS
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o644}
    assert asked.read_text().splitlines()[-2:] == [f"{user}daemon-reload", f"{user}enable --now {TIMER}"]
    asked.unlink()
    assert timers.remove([TIMER, next(iter(UNITS))], timer=TIMER, system=system) == tuple(
        directory / name for name in (TIMER, next(iter(UNITS)))
    )
    assert list(directory.iterdir()) == []
    assert asked.read_text().splitlines() == [f"{user}disable --now {TIMER}", f"{user}daemon-reload"]
    assert timers.remove([TIMER], timer=TIMER, system=system) == ()


def test_what_systemd_says_is_passed_on_with_what_to_do(timers: SystemdTimers, tmp_path: Path) -> None:
    (tmp_path / "refuses").touch()
    with pytest.raises(HomelabError, match="systemctl --user daemon-reload") as caught:
        timers.install(UNITS, timer=TIMER, system=False)
    assert caught.value.details == "Failed to connect to bus"
    assert "log in as the user directly" in caught.value.resolution


def test_without_systemd_it_says_so(timers: SystemdTimers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert timers.why_not() == ""
    assert SystemdTimers(environ={}, booted=tmp_path / "none").why_not() == "systemd does not run on this computer"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert timers.why_not() == "this computer runs darwin, which has no systemd"


def test_words_of_a_command_are_quoted_as_systemd_reads_them() -> None:
    """systemd.service(5), Command lines; systemd.unit(5), Specifiers."""
    command = ["/opt/a b/homelab-k8s", "maintain", "--inventory", '/srv/50%/$HOME/a"b\\c.yaml']
    environ = {"XDG_STATE_HOME": "/srv/state", "PROXMOX_VE_API_TOKEN": "secret"}
    service, timer = render_units(
        "demo", command, at="02:00", user=None, environ=environ, directory="/srv/50% of"
    ).values()
    assert 'ExecStart="/opt/a b/homelab-k8s" "maintain" "--inventory" "/srv/50%%/$$HOME/a\\"b\\\\c.yaml"\n' in service
    assert "WorkingDirectory=/srv/50%% of\n" in service
    assert 'Environment="XDG_STATE_HOME=/srv/state"\n' in service
    assert "EnvironmentFile=-%E/homelab-k8s/demo.env\n" in service
    assert "secret" not in service
    assert "OnCalendar=*-*-* 02:00:00\n" in timer
    with pytest.raises(UsageError, match="cannot be written into a systemd unit"):
        render_units("demo", ["/a\nb"], at="02:00", user="me", environ={}, directory="/")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("user", [None, "root"])
def test_systemd_reads_the_units_without_a_warning(tmp_path: Path, user: str | None) -> None:
    command = ["/bin/true", "maintain", "--inventory", '/srv/50%/a b$c"d.yaml']
    units = render_units("demo", command, at="02:00", user=user, environ={"KUBECONFIG": "/a b"}, directory="/")
    for name, text in units.items():
        (tmp_path / name).write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", *map(str, tmp_path.iterdir())], capture_output=True, text=True, check=False
    )
    assert [line for line in (verified.stdout + verified.stderr).splitlines() if "homelab-k8s" in line] == []


def test_without_systemd_cron_gets_a_line_that_it_reads_as_it_is_meant() -> None:
    line = cron_line(["/opt/my tools/homelab-k8s", "maintain", "-i", "/home/a/100%.yaml"], at="03:05")
    assert line == r"5 3 * * * '/opt/my tools/homelab-k8s' maintain -i /home/a/100\%.yaml"
