"""A server on a real virtual machine: one, since without KVM it boots for minutes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.e2e.homes import Home, lab_home

pytestmark = pytest.mark.qemu


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with lab_home("qemu") as home:
        yield home


def test_up_again_and_down_on_virtual_machines(home: Home) -> None:
    began = time.monotonic()
    home.run("up", "--lab", "--workers", "0", timeout_s=1200)
    print(f"\nup on QEMU took {time.monotonic() - began:.1f} s")
    status = home.run("status", "--lab", "--workers", "0", "-o", "json").json
    assert [machine["ready"] for machine in status["machines"]] == [True]
    assert status["problems"] == []
    again = home.run("up", "--lab", "--workers", "0")
    assert "nothing to do" in again.out + again.err
    home.run("down", "--lab", "--yes")
    assert home.run("status", "--lab", "-o", "json", expect=None).json["problems"] == [
        "the cluster does not exist; `homelab-k8s up --lab` builds it"
    ]
