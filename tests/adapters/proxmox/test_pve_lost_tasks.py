"""A task that was started is never started again because nobody can tell how it goes on."""

from __future__ import annotations

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.errors import HypervisorError, TransientError
from bootstrap.model.ids import Vmid
from tests.adapters.proxmox.pve_lab import PVE1, Lab, clone_request

BLIND_S = 0.4


def act(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid, verb: str) -> None:
    match verb:
        case "start":
            hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
        case "resize":
            hypervisor.grow_disk(vm, pve_node=PVE1, disk="scsi0", size_gib=9, warn=lab.warnings.append)
        case "clone":
            hypervisor.clone(clone_request(vmid=Vmid(7002)), warn=lab.warnings.append)
        case _:
            hypervisor.destroy(vm, pve_node=PVE1, warn=lab.warnings.append)


@pytest.mark.parametrize(
    ("verb", "method", "path_end"),
    [
        ("start", "POST", "/status/start"),
        ("resize", "PUT", "/resize"),
        ("clone", "POST", "/clone"),
        ("destroy", "DELETE", "/qemu/7001"),
    ],
)
def test_a_task_out_of_sight_is_started_once(lab: Lab, vm: Vmid, verb: str, method: str, path_end: str) -> None:
    """Its listing and its status are not to be read for longer than anything is retried."""
    hypervisor = lab.connect_to(lab.endpoint, retry_for_s=BLIND_S)
    before = lab.requests(method, path_end)
    lab.pve.fail("GET", "/tasks", 595, "Connection refused", times=10_000)
    with pytest.raises(HypervisorError, match="the Proxmox task can no longer be observed") as raised:
        act(lab, hypervisor, vm, verb)
    assert not isinstance(raised.value, TransientError)
    assert lab.requests(method, path_end) == before + 1
