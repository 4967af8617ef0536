"""Which address a simulated guest listens at when its seed names several."""

from __future__ import annotations

from ipaddress import IPv4Address

from bootstrap.lab.front.configs.vmconfig import guest_spec
from bootstrap.lab.simulated.machine.addresses import static_address

MAC = "02:00:00:00:00:01"


def config(**more: str) -> dict[str, str]:
    nets = {"net0": f"virtio={MAC},bridge=vmbr0", "net1": "virtio=02:00:00:00:00:02,bridge=vmbr1"}
    return {"ide2": "local:7000/vm-7000-cloudinit.qcow2,media=cdrom", **nets, **more}


def test_net0s_address_counts_and_no_other() -> None:
    both = config(ipconfig0="ip=127.70.0.9/16", ipconfig1="ip=10.10.0.5/24")
    assert static_address(guest_spec(7000, "demo-cp-1", both)) == IPv4Address("127.70.0.9")
    second_alone = config(ipconfig0="ip=dhcp", ipconfig1="ip=10.10.0.5/24")
    assert static_address(guest_spec(7000, "demo-cp-1", second_alone)) is None
