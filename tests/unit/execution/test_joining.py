"""What tells a machine's own fresh node from one that was left behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest

from bootstrap.execution.guests.scripts import parse_facts
from bootstrap.execution.k3s.agent_start import Own
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import KubeNode

BEGAN = datetime(2026, 11, 28, 19, 24, 13, tzinfo=UTC)
ADDRESS = IPv4Address("192.0.2.11")
OWN = Own(address=ADDRESS, version="v1.35.6+k3s1", stale_uid="old", since=BEGAN)


def node(
    *, uid: str = "new", version: str = "v1.35.6+k3s1", address: str = "192.0.2.11", beat: datetime | None = BEGAN
) -> KubeNode:
    name = MachineName("demo-workers-1")
    return KubeNode(name=name, ready=True, uid=uid, version=version, address=IPv4Address(address), heartbeat=beat)


def test_a_fresh_node_of_its_own_is_enough() -> None:
    assert OWN.lacks(node()) == ""
    assert Own(address=ADDRESS).lacks(node(beat=None)) == ""


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "has not registered"),
        (node(uid="old"), "has not registered"),
        (node(address="192.0.2.12"), "the address 192.0.2.12, not 192.0.2.11"),
        (node(version="v1.34.1+k3s1"), "its kubelet is v1.34.1+k3s1, not v1.35.6+k3s1"),
        (node(beat=BEGAN - timedelta(seconds=1)), "has not reported since its start"),
        (node(beat=None), "has not reported since its start"),
    ],
)
def test_a_node_that_was_left_behind_is_not(found: KubeNode | None, words: str) -> None:
    assert words in OWN.lacks(found)


@pytest.mark.parametrize(
    ("told", "runs"),
    [
        ("active_state=active\nsub_state=running\nrestarts=3", True),
        ("active_state=activating\nsub_state=start\nrestarts=0", True),
        ("active_state=activating\nsub_state=start\nrestarts=1", False),
        ("active_state=activating\nsub_state=auto-restart\nrestarts=0", False),
        ("active_state=inactive\nsub_state=dead\nrestarts=0", False),
        ("active_state=\nsub_state=\nrestarts=", False),
    ],
)
def test_a_unit_that_is_activating_runs_unless_it_loops(told: str, runs: bool) -> None:
    assert parse_facts(told, machine="m", address=ADDRESS).runs_k3s is runs
