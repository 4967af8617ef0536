"""What is told of machines that enforce SELinux without k3s's policy."""

from __future__ import annotations

import pytest

from bootstrap.k3s.selinux import selinux_problem
from bootstrap.model.ids import MachineName
from bootstrap.planning.checks.doctor import Verdict
from bootstrap.planning.checks.runtime import GuestSeen, check_machines


def told(state: str, lacks: str) -> str:
    return selinux_problem("demo-cp-1", {"selinux": [state], "selinux_lacks": [lacks]})


def test_what_is_missing_is_named_in_one_line() -> None:
    both = told("enforcing", "container-selinux k3s-selinux")
    assert both.startswith(
        "SELinux is enforcing on demo-cp-1, and container-selinux and k3s-selinux are not installed: "
    )
    assert "\n" not in both
    assert "and k3s-selinux is not installed" in told("enforcing", "k3s-selinux")


@pytest.mark.parametrize(("state", "lacks"), [("enforcing", ""), ("permissive", "k3s-selinux"), ("", "")])
def test_nothing_is_told_where_nothing_is_denied(state: str, lacks: str) -> None:
    assert told(state, lacks) == ""
    assert selinux_problem("demo-cp-1", {}) == ""  # a machine that tells nothing of it


def test_doctor_warns_of_each_such_machine() -> None:
    guests = [
        GuestSeen(machine=MachineName(name), machine_id=name, selinux=f"SELinux is enforcing on {name}")
        for name in ("demo-cp-1", "demo-w-1")
    ]
    check = check_machines(guests)
    assert check.verdict is Verdict.WARNING
    assert "demo-cp-1" in check.says
    assert "demo-w-1" in check.says
