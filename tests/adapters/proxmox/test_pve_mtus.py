"""What a Proxmox node tells of its bridges' MTUs, in the forms of PVE::INotify; and a template's lock."""

from __future__ import annotations

import pytest

from bootstrap.adapters.proxmox.observe.node_facts import NodeReading, node_facts
from bootstrap.model.ids import ClusterName, PveNodeName
from bootstrap.model.reading import Reading, Source
from bootstrap.proxmox.reading import answers
from tests.adapters.proxmox.pve_lab import TEMPLATE, VMIDS, Lab

SOURCE = Source(call="list the networks of pve1")


def mtus(*rows: dict[str, object]) -> tuple[tuple[str, int], ...]:
    networks = tuple(Reading(row, SOURCE) for row in rows)
    reading = NodeReading(name=PveNodeName("pve1"), row=Reading({}, SOURCE), online=True, networks=networks)
    return node_facts(reading, (), maintenance=False, odd=answers.note).mtus


def test_the_mtus_that_bridges_state_are_read() -> None:
    assert mtus(
        {"iface": "vmbr0", "type": "bridge", "mtu": "9000"},
        {"iface": "vmbr1", "type": "bridge"},
        {"iface": "vmbr2", "type": "OVSBridge", "ovs_mtu": 1500},
        {"iface": "eno1", "type": "eth", "mtu": "9000"},
    ) == (("vmbr0", 9000), ("vmbr2", 1500))


@pytest.mark.parametrize("odd", ["many", -1, 10**9, [9000], {"mtu": 1}])
def test_one_of_odd_form_takes_only_that_bridge_away(odd: object) -> None:
    assert mtus(
        {"iface": "vmbr0", "type": "bridge", "mtu": odd}, {"iface": "vmbr1", "type": "bridge", "mtu": 1500}
    ) == (("vmbr1", 1500),)


def test_a_lock_of_a_template_is_seen(lab: Lab) -> None:
    template = lab.pve.vm(TEMPLATE)
    template.config["lock"] = "backup"
    found = lab.connect().observe(cluster=ClusterName("demo"), vmids=VMIDS).templates
    assert [each.lock for each in found if each.vmid == TEMPLATE] == ["backup"]
