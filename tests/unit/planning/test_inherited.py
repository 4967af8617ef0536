"""What clones inherit: every row of the table, in the plan, in `doctor` and on the machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError, PreflightError
from bootstrap.model.cluster import StorageNetwork
from bootstrap.model.hardware import DataDisk, Hardware
from bootstrap.model.ids import StorageName, Vmid
from bootstrap.model.machine import RecordState
from bootstrap.model.observed import Observed
from bootstrap.planning.checks.doctor import check_template
from bootstrap.planning.view import ClusterView
from bootstrap.proxmox.disks_and_devices import disk_settings
from bootstrap.proxmox.inherited import Verdict, own_tags, rule_for
from bootstrap.records.vms.machine import read_record
from tests.fakes.keys import sealed
from tests.fakes.seen import seen
from tests.fakes.specs import cluster
from tests.fakes.world import TEMPLATE, World
from tests.unit.planning.test_texts import MAC, SERVER, VM, settings

TAKEN_OFF = {
    "protection": "1",
    "vcpus": "8",
    "cpulimit": "0.5",
    "cpuunits": "50",
    "cicustom": "user=local:snippets/u.yml",
    "cipassword": "**********",
    "net1": "virtio=BC:24:11:00:00:09,bridge=vmbr9",
    "ipconfig1": "ip=dhcp",
    "net31": "e1000=BC:24:11:00:00:0A,bridge=vmbr9",
    "usb0": "host=spice",
    "usb1": "spice,usb3=1",
    "usb2": "mapping=stick",
    "hostpci0": "mapping=card,pcie=1",
}
REFUSED = {
    "affinity": "0-3",
    "args": "-device x",
    "hookscript": "local:snippets/h.pl",
    "hugepages": "2",
    "startup": "order=3",
    "usb0": "host=1234:5678",
    "usb3": "1234:5678,usb3=1",
    "hostpci1": "0000:01:00.0,pcie=1",
    "hostpci2": "host=0000:01:00.0",
    "serial1": "/dev/ttyS0",
}
KEPT = {
    "serial0": "socket",
    "unused0": "local:9000/vm-9000-disk-1.qcow2",
    "net0": "virtio=BC:24:11:00:00:09,bridge=vmbr9",
    "ipconfig0": "ip=dhcp",
    "nameserver": "192.0.2.1",
    "vga": "serial0",
}


@pytest.mark.parametrize(("key", "value"), KEPT.items())
def test_what_does_no_harm_is_kept(key: str, value: str) -> None:
    rule = rule_for(key, value)
    assert rule is None or rule.verdict is Verdict.KEEP
    assert "delete" not in settings(cluster(), vm=replace(VM, settings=((key, value),)))


@pytest.mark.parametrize(("key", "value"), TAKEN_OFF.items())
def test_what_the_inventory_says_otherwise_is_taken_off(key: str, value: str) -> None:
    assert settings(cluster(), vm=replace(VM, settings=((key, value),)))["delete"] == key
    world = World(templates=[replace(TEMPLATE, settings=((key, value),))])
    plan = Up().plan(cluster(), world.ports)
    assert f"machines are created without these options of template debian-12 (9000): {key}" in plan.notes
    Up().run(plan, cluster(), world.ports, sink=lambda _event: None, options=RunOptions())
    assert not any(key in vm.settings for vm in world.vms.values())
    assert key in check_template(ClusterView(cluster(), world_seen(world))).says


@pytest.mark.parametrize(("key", "value"), REFUSED.items())
def test_what_no_token_can_take_off_is_refused_before_anything_is_cloned(key: str, value: str) -> None:
    world = World(templates=[replace(TEMPLATE, settings=((key, value),))])
    for ask in (
        lambda: Up().plan(cluster(), world.ports),
        lambda: check_template(ClusterView(cluster(), world_seen(world))),
    ):
        with pytest.raises(PreflightError) as raised:
            ask()
        assert f"qm set 9000 --delete {key}" in raised.value.resolution
        assert "as root on pve1" in raised.value.resolution
    assert world.journal == []


def world_seen(world: World) -> Observed:
    return replace(seen(), templates=tuple(world.templates))


def test_devices_that_are_ours_replace_those_of_the_template() -> None:
    inherited = (("ipconfig1", "ip=dhcp"), ("ipconfig2", "ip=dhcp"), ("net1", "virtio"), ("net2", "virtio"))
    spec = replace(cluster(), network=replace(cluster().network, storage=StorageNetwork(bridge="vmbr1")))
    got = settings(spec, vm=replace(VM, settings=inherited))
    assert got["net1"] == "virtio,bridge=vmbr1"
    assert got["delete"] == "ipconfig2,net2"
    card = replace(SERVER, hardware=Hardware(mappings=("gpu",)))
    got = settings(
        cluster(), machine=card, vm=replace(VM, settings=(("hostpci0", "mapping=x"), ("hostpci1", "mapping=y")))
    )
    assert (got["hostpci0"], got["delete"]) == ("mapping=gpu,pcie=1", "hostpci1")


def test_a_network_device_that_is_off_is_switched_on() -> None:
    off = replace(VM, net0=f"virtio={MAC},bridge=vmbr0,firewall=1,link_down=1")
    assert settings(cluster(), vm=off)["net0"] == f"virtio={MAC},bridge=vmbr0,firewall=1"


@pytest.mark.parametrize("cdroms", [("scsi1",), ("scsi1", "scsi2")])
def test_a_data_disk_takes_a_slot_that_no_cd_rom_has(cdroms: tuple[str, ...]) -> None:
    machine = replace(SERVER, hardware=Hardware(data_disk=DataDisk(size_gib=9, storage=StorageName("fast"))))
    vm = replace(VM, disk="scsi0", drives=(("scsi0", "local:x,size=3G"),), cdroms=cdroms)
    assert disk_settings(cluster(), machine, vm) == {f"scsi{len(cdroms) + 1}": "fast:9"}


def test_tags_of_the_template_go_in_any_case_and_those_of_users_stay() -> None:
    assert own_tags({"Debian", "k3s", "Prod"}, template=("debian", "K3S")) == {"Prod"}
    world = World(templates=[replace(TEMPLATE, tags=frozenset({"debian", "homelab-k8s-template", "hk8s-0badcafe"}))])
    Up().run(Up().plan(cluster(), world.ports), cluster(), world.ports, sink=lambda _event: None, options=RunOptions())
    assert {vm.tags for vm in world.vms.values()} == {"demo;homelab-k8s"}


def test_a_clone_that_was_cut_off_before_its_disk_says_so() -> None:
    world, spec = World(), cluster()
    world.on_call = lambda call: setattr(world.vms[Vmid(7000)], "disk", None) if call == "cloned demo-cp-1" else None
    with pytest.raises(
        HomelabError, match="demo-cp-1: its clone was interrupted before its disk was created"
    ) as raised:
        Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    assert "as root on pve1: qm destroy 7000" in raised.value.resolution


def test_a_half_made_machine_keeps_the_tags_and_notes_that_it_was_given_meanwhile() -> None:
    world, spec = World(), cluster()
    world.fail_clone = {"demo-workers-1"}
    world.on_call = lambda call: interfere(world) if call == "cloned demo-cp-1" else None
    with pytest.raises(HomelabError, match="demo-workers-1"):
        Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    vm = world.vms[Vmid(7000)]
    assert vm.tags == "Backup;demo;homelab-k8s"
    assert vm.description.startswith("# notes\r\n\n")
    assert vm.description.endswith("\nmore of them")
    record = read_record(vm.description)
    assert record is not None
    assert record.state is RecordState.MADE


def interfere(world: World) -> None:
    """What a user may do at any time, here between clone and configure."""
    vm = world.vms[Vmid(7000)]
    vm.tags = f"{vm.tags};Backup"
    vm.description = f"# notes\r\n\n{vm.description}\nmore of them"


def test_a_half_made_machine_of_a_protected_template_is_removed() -> None:
    """Nobody has protected that machine; of a machine that is made, its protection is the user's word."""
    world, spec = World(), cluster()
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    vm = world.vms[Vmid(7003)]
    record = read_record(vm.description)
    assert record is not None
    vm.description, vm.running = sealed(replace(record, state=RecordState.CLONING), vm.smbios_uuid), False
    vm.settings["protection"] = 1
    world.vms[Vmid(7002)].settings["protection"] = 1
    with pytest.raises(HomelabError, match="protection mode enabled"):
        Down().run(Down().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    assert sorted(world.vms) == [7002]
