"""What facts.sh tells of SELinux, where a kernel has it and where not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.adapters.local.guest_files import guest_file
from bootstrap.execution.guests.scripts import parse_lines
from tests.adapters.test_guest_scripts import Machine, needs_root

pytestmark = needs_root

RPM = """#!/bin/sh
# Stands in for rpm: what is installed is in a file.
for last in "$@"; do :; done
grep -qx "$last" "$INSTALLED"
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def facts(machine: Machine, enforce: str | None, installed: str = "", *, rpm: bool = True) -> tuple[str, str]:
    """State and missing packages, with this in /sys/fs/selinux/enforce."""
    (machine.beside / "facts.sh").write_bytes(guest_file("facts.sh"))
    (machine.system / "installed").write_text(installed)
    if rpm:
        machine.put_command("rpm", RPM)
    kernel = "" if enforce is None else f"mkdir /sys/fs/selinux && printf {enforce} >/sys/fs/selinux/enforce && "
    command = f"mount -t tmpfs none /sys/fs && {kernel}cd {machine.beside} && exec sh ./facts.sh"
    told = parse_lines(machine.run_command(command, INSTALLED=str(machine.system / "installed")).stdout)
    return told["selinux"][0], told["selinux_lacks"][0]


def test_without_selinux_nothing_is_told(machine: Machine) -> None:
    assert facts(machine, None) == ("", "")


def test_what_a_distribution_lacks_that_enforces_it(machine: Machine) -> None:
    assert facts(machine, "1") == ("enforcing", "container-selinux k3s-selinux")
    assert facts(machine, "1", "container-selinux\n") == ("enforcing", "k3s-selinux")
    assert facts(machine, "1", "container-selinux\nk3s-selinux\n") == ("enforcing", "")
    assert facts(machine, "0") == ("permissive", "container-selinux k3s-selinux")


def test_a_policy_that_was_built_by_hand_counts(machine: Machine) -> None:
    machine.path("/var/lib/selinux/default/active/modules/400/k3s").mkdir(parents=True)
    assert facts(machine, "1", rpm=False) == ("enforcing", "container-selinux")
