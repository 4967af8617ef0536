"""SDN vnets: seen beside bridges, with the rights they need and the VLAN tags they take."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.errors import HypervisorError, PermissionDeniedError
from bootstrap.model.access.rights import RightsNeeded
from bootstrap.model.ids import ClusterName, Vmid
from bootstrap.model.observed import PveNodeFacts, Vnet
from tests.adapters.proxmox.pve_lab import PVE1, VM, VMIDS, Lab, clone_request, token

VNET = "labnet"


@pytest.fixture
def lab(start_lab: Callable[..., Lab]) -> Lab:
    return start_lab(vnet=VNET)


def facts(hypervisor: ProxmoxHypervisor) -> PveNodeFacts:
    (only,) = hypervisor.observe(cluster=ClusterName("demo"), vmids=VMIDS).pve_nodes
    return only


def missing(lab: Lab, *, seen: bool = True) -> list[str]:
    rights = RightsNeeded(bridges=("vmbr0", VNET), vnets=frozenset({VNET}) if seen else frozenset())
    return [each for each in map(str, lab.connect().missing_privileges(rights)) if each.startswith("/sdn")]


def test_a_vnet_is_seen_beside_the_bridges(lab: Lab) -> None:
    found = facts(lab.connect(token=token(lab.info.root_token)))
    assert found.bridges == {"vmbr0", VNET}
    assert found.vnets == (Vnet(name=VNET, vlan_aware=False),)


def test_it_is_not_seen_without_a_right_to_it(lab: Lab) -> None:
    lab.grant_only(("/nodes", "Sys.Audit"), ("/sdn/zones/localnetwork", "SDN.Use"))
    found = facts(lab.connect())
    assert found.bridges == {"vmbr0"}
    assert not found.vnets


@pytest.mark.parametrize(
    ("path", "privileges", "lacks"),
    [
        ("/sdn/zones/lab/labnet", "SDN.Use", ["/sdn/zones/localnetwork: SDN.Use"]),
        ("/sdn/zones/lab", "SDN.Use SDN.Audit", ["/sdn/zones/localnetwork: SDN.Use"]),
        ("/sdn/zones", "SDN.Use", []),
        ("/sdn", "SDN.Audit", ["/sdn/zones/lab: SDN.Use", "/sdn/zones/localnetwork: SDN.Use"]),
    ],
)
def test_its_right_is_below_its_own_zone(lab: Lab, path: str, privileges: str, lacks: list[str]) -> None:
    lab.grant_only((path, privileges))
    seen = any(vnet.name == VNET for vnet in facts(lab.connect()).vnets)
    assert (seen, missing(lab, seen=seen)) == (True, lacks)


def test_zones_are_asked_for_only_where_a_vnet_is_used(lab: Lab) -> None:
    lab.connect().missing_privileges(RightsNeeded(bridges=("vmbr0",), vnets=frozenset({VNET})))
    assert lab.requests("GET", "/cluster/sdn/vnets") == 0


def test_a_machine_may_be_put_on_it_by_who_may_use_it(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    hypervisor.clone(clone_request(), warn=lab.warnings.append)
    net0 = {"net0": f"virtio=BC:24:11:00:00:01,bridge={VNET}"}
    hypervisor.configure(VM, pve_node=PVE1, settings=net0)
    hypervisor.start(VM, pve_node=PVE1, warn=lab.warnings.append)
    assert hypervisor.read_vm(VM, pve_node=PVE1).running
    lab.grant_only(("/vms", "VM.Audit VM.Config.Network"), ("/sdn/zones/localnetwork", "SDN.Use"))
    with pytest.raises(PermissionDeniedError, match=r"SDN\.Use on /sdn/zones/lab/labnet"):
        hypervisor.configure(VM, pve_node=PVE1, settings=net0)


def test_a_tag_on_it_keeps_a_machine_from_starting(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    hypervisor.configure(vm, pve_node=PVE1, settings={"net0": f"virtio=BC:24:11:00:00:01,bridge={VNET},tag=30"})
    with pytest.raises(HypervisorError) as refused:
        hypervisor.start(vm, pve_node=PVE1, warn=lab.warnings.append)
    assert "vm vlans are not allowed on vnet labnet" in str(refused.value.details)
