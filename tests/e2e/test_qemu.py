"""A server on a real virtual machine: one boot, since without KVM it takes minutes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bootstrap.lab.front.configs.vmconfig import options_of
from tests.e2e.api import Api
from tests.e2e.homes import Home, lab_home

pytestmark = pytest.mark.qemu

INSIDE = """\
cat /run/cloud-init/result.json
echo "host=$(hostname)"
echo "disk=$(df --output=size -BG / | tail -1 | tr -d ' ')"
echo "uuid=$(sudo cat /sys/class/dmi/id/product_uuid)"
"""


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with lab_home("qemu") as home:
        yield home


def test_up_again_off_and_down_on_a_virtual_machine(home: Home) -> None:
    began = time.monotonic()
    home.run("up", "--lab", "--workers", "0", timeout_s=1200)
    print(f"\nup on QEMU took {time.monotonic() - began:.1f} s")
    status = home.run("status", "--lab", "--workers", "0", "-o", "json").json
    (machine,) = status["machines"]
    assert machine["ready"] is True
    assert status["problems"] == []
    again = home.run("up", "--lab", "--workers", "0")
    assert "nothing to do" in again.out + again.err

    inside = home.run("exec", "--lab", "--", INSIDE, together=True).out
    config = Api(home).call("GET", f"/nodes/pve1/qemu/{machine['vmid']}/config")
    assert isinstance(config, dict)
    assert '"errors": []' in inside
    assert "seed=/dev/sr0" in inside
    assert "host=lab-cp-1" in inside
    assert f"disk={options_of(config['scsi0'])['size']}" in inside
    assert f"uuid={options_of(config['smbios1'])['uuid']}" in inside.lower()

    # A guest that powers itself off is noticed.
    home.run("exec", "--lab", "--", "sudo systemctl --no-block poweroff", expect=None)
    deadline = time.monotonic() + 240
    while (state := home.run("status", "--lab", "-o", "json", expect=None).json["machines"][0]["vm"]) != "stopped":
        assert time.monotonic() < deadline, state
    home.run("down", "--lab", "--yes")
    assert home.run("status", "--lab", "-o", "json", expect=None).json["problems"] == [
        "the cluster does not exist; `homelab-k8s up --lab` builds it"
    ]
