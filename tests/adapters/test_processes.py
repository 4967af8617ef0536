"""Whether a process of this machine lives, told by a mark that no other process ever has."""

from __future__ import annotations

import os
import subprocess
import sys

from bootstrap.adapters.local.processes import LocalProcesses

SAY_MARK = (
    "from bootstrap.adapters.local.processes import LocalProcesses as P; import sys; print(P().this().mark, flush=True)"
)


def test_a_process_knows_itself_alive() -> None:
    processes = LocalProcesses()
    this = processes.this()
    assert this.pid == os.getpid()
    assert "@" in this.who
    assert processes.state(this.mark) is True


def test_another_process_is_alive_until_it_ends_and_dead_as_a_zombie_too() -> None:
    code = f"{SAY_MARK}; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        mark = it.stdout.readline().strip()
        assert LocalProcesses().state(mark) is True
        it.kill()
        os.waitid(os.P_PID, it.pid, os.WEXITED | os.WNOWAIT)
        assert LocalProcesses().state(mark) is False
    assert LocalProcesses().state(mark) is False


def test_a_pid_that_was_given_again_is_not_the_process_of_before() -> None:
    mark = LocalProcesses().this().mark
    start = mark.rpartition("/")[2]
    assert LocalProcesses().state(mark.removesuffix(start) + str(int(start) - 1)) is False


def test_processes_of_elsewhere_cannot_be_told() -> None:
    for mark in ("", "another-boot/1/2/3", LocalProcesses().this().mark.replace("/", "-", 1)):
        assert LocalProcesses().state(mark) is None
