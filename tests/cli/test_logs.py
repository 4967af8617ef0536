"""The debug log: who may read it, how many are kept, and what never gets into it."""

from __future__ import annotations

import logging
import os
import stat
import threading
from pathlib import Path

import pytest

from bootstrap.cli.running.logs import KEPT, RunLog
from bootstrap.cli.running.masking import Masker
from tests.cli.conftest import SECRET, Run
from tests.fakes.world import World

HEX = "0123456789abcdef" * 4
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nAAAAB3\n-----END OPENSSH PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "secret", "left"),
    [
        (f"token K10{HEX}::server:hunter2hunter2 joins", "hunter2hunter2", "joins"),
        (f"K10{HEX}::server:x", HEX, "K10***"),
        (f"K3S_TOKEN is {HEX}.", HEX, "K3S_TOKEN is"),
        ("Authorization: PVEAPIToken=root@pam!lab=abc-def-ghi", "abc-def-ghi", "PVEAPIToken=root@pam!lab=***"),
        (f"automation@pve!homelab={SECRET}", SECRET, "automation@pve!homelab=***"),
        (f"before\n{KEY}\nafter", "b3BlbnNzaC1rZXk", "after"),
        (f"cut off: {KEY[:60]}", "b3BlbnNzaC1rZXk", "cut off"),
        ("cipassword=tops3cret&memory=2048", "tops3cret", "cipassword=***"),
        ('{"password": "two words", "user": "me"}', "two words", '"user": "me"'),
        ("    client-key-data: TFMwdExTMUNSVWRKVGlC", "TFMwdExTMUNSVWRKVGlC", "client-key-data: ***"),
        ("via http://me:letmein@proxy:3128/", "letmein", "http://me:***@proxy:3128/"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, secret: str, left: str) -> None:
    masked = Masker().all(text)
    assert secret not in masked
    assert left in masked


@pytest.mark.parametrize(
    "text",
    [
        "UPID:pve1:0003A2F1:01B2C3D4:6565AABB:qmclone:9000:automation@pve!homelab:",
        "smbios1 uuid=0b0c0d0e-1111-2222-3333-444455556666",
        "AA:BB:CC:DD:EE:FF https://192.0.2.1:8006/api2/json/nodes/pve1/qemu/7000/config",
        "the token lacks VM.Clone",
    ],
)
def test_what_a_log_is_read_for_stays(text: str) -> None:
    assert Masker().all(text) == text


def test_a_known_secret_is_masked_wherever_it_stands() -> None:
    masker = Masker()
    masker.add("correct-horse")
    masker.add("no")
    masker.add(None)
    assert masker.all("xcorrect-horsex, no") == "x***x, no"
    assert masker.known(f"correct-horse {HEX}") == f"*** {HEX}", "a checksum stays readable on the terminal"


def test_a_run_leaves_a_private_log_without_secrets(run: Run, world: World, state: Path) -> None:
    def leak(call: str) -> None:
        if call == "clone demo-cp-1":
            logging.getLogger("paramiko.transport").info("auth with %s", SECRET)
            logging.getLogger("proxmoxer.core").info("POST cipassword and all")
            logging.getLogger("urllib3.connectionpool").debug("noise")
            raise RuntimeError(f"unexpected: PVEAPIToken=test@pve!cli={SECRET}")

    world.on_call = leak
    result = run("up", "--cluster", "demo", "--workers", "0")
    assert result.exit_code == 1
    assert SECRET not in result.stderr
    log = next((state / "logs").iterdir())
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700
    text = log.read_text()
    assert "RunStarted(command='up'" in text
    assert "auth with ***" in text
    assert "RuntimeError: unexpected: PVEAPIToken=test@pve!cli=***" in text
    assert SECRET not in text
    assert world.state["demo", "token"] not in text
    assert "POST cipassword" not in text
    assert "noise" not in text


def test_logging_is_as_before_after_a_run(run: Run) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), logging.getLogger("bootstrap").level, threading.excepthook)
    run("up", "--cluster", "demo")
    assert (list(root.handlers), logging.getLogger("bootstrap").level, threading.excepthook) == before


def test_the_newest_logs_of_each_command_are_kept(tmp_path: Path) -> None:
    old = [tmp_path / f"20200101-0000{number:02}-up.log" for number in range(KEPT + 5)]
    for number, path in enumerate(old):
        path.touch()
        os.utime(path, (number, number))
    other = tmp_path / "20200101-000000-lab-up.log"
    other.touch()
    log = RunLog(tmp_path, "up", Masker())
    log.close()
    assert set(tmp_path.iterdir()) == {*old[6:], other, log.path}


def test_runs_of_one_second_have_logs_of_their_own(tmp_path: Path) -> None:
    logs = [RunLog(tmp_path, "up", Masker()) for _ in range(5)]
    for log in logs:
        log.close()
    assert len({log.path for log in logs}) == 5


def test_a_directory_that_cannot_be_written_to_stops_nothing(run: Run, state: Path) -> None:
    state.parent.mkdir(parents=True)
    state.write_text("a file where the directory should be")
    result = run("up", "--cluster", "demo", "--workers", "0", "--dry-run")
    assert result.exit_code == 0
    assert "cannot write a debug log: " in result.stderr
