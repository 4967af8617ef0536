"""What simulated guests need of a system that is no Linux: no /proc, and addresses that somebody configures."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

import pytest

from bootstrap.lab import processes
from bootstrap.lab.front.gateway.context import measure_capacity
from bootstrap.lab.guests.base import GuestError
from bootstrap.lab.guests.choose import choose_kind, why_not
from bootstrap.lab.options import LabOptions
from bootstrap.lab.simulated.machine.addresses import AddressSlot


def test_only_guests_of_this_kernel_need_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert why_not("simulated") is None
    with pytest.raises(GuestError, match="container guests need Linux") as raised:
        choose_kind()
    assert "--guests simulated" in str(raised.value)


def test_a_process_is_known_by_ps_where_there_is_no_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = {"7": "S    Mon Mar  2 01:23:00 2026", "8": "Z+   Mon Mar  2 01:23:00 2026"}
    cases = "".join(f"{pid}) echo '{says}';;\\n" for pid, says in began.items())
    program = tmp_path / "ps"
    program.write_text(
        f'#!/bin/sh\nfor last; do :; done\ncase "$last" in\n{cases}*) exit 1;;\nesac\n'.replace("\\n", "\n")
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(processes, "_PROC", tmp_path / "proc")
    start = processes.process_start(7)
    assert start is not None
    assert processes.is_running(7, start)
    assert not processes.is_running(7, start - 1)
    assert [processes.process_start(8), processes.process_start(9)] == [None, None]


def test_addresses_that_are_missing_come_with_the_command_that_adds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(_socket: object, _address: object) -> None:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(GuestError, match="sudo ifconfig lo0 alias") as raised:
        AddressSlot().take()
    assert "27.{89..120} 255.250" in str(raised.value)


def test_a_node_has_a_size_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda _path: False)
    capacity = measure_capacity(LabOptions(guests="simulated"))
    assert (capacity.cores, capacity.cpu_model, capacity.cpu_flags) == (128, "unknown", "")
