"""Clusters with containers over an in-memory world: made, adopted, waited for, never mistaken, gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.adapters.local.state import DirectoryStateStore
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import NotOursError
from bootstrap.execution.guests.host_keys import fingerprint, host_key
from bootstrap.model.ids import MachineName, Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import OsTemplate
from bootstrap.planning.members.desired_machines import login_user
from bootstrap.records.state.state_items import known_hosts_item
from tests.fakes.clock import SteppingClock
from tests.fakes.specs import cluster, workers
from tests.fakes.world import PVE1, FakeVm, World, pve_node

SPEC = replace(cluster(1, 1), workers=(*cluster(1, 1).workers, replace(workers(1, name="light"), kind=MachineKind.LXC)))
LIGHT = "demo-light-1"


def world() -> World:
    made = World()
    facts = pve_node()
    storages = tuple(replace(one, content=one.content | {"rootdir"}) for one in facts.storages)
    made.pve_nodes = [replace(facts, storages=storages)]
    made.ostemplates = (OsTemplate(pve_node=PVE1, volume="local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"),)
    return made


def up(here: World) -> None:
    ports = here.ports
    Up().run(Up().plan(SPEC, ports), SPEC, ports, sink=lambda _event: None, options=RunOptions())


def down(here: World) -> None:
    ports = here.ports
    Down().run(Down().plan(SPEC, ports), SPEC, ports, sink=lambda _event: None, options=RunOptions())


def container(here: World) -> FakeVm:
    found = here.vm_named(LIGHT)
    assert found is not None
    return found


def test_up_makes_vms_and_containers_and_down_leaves_neither() -> None:
    here = world()
    up(here)
    assert sorted(here.kube_nodes) == ["demo-cp-1", LIGHT, "demo-workers-1"]
    assert container(here).kind is MachineKind.LXC
    assert "KubeletInUserNamespace" in container(here).files["config.yaml"]
    assert Up().plan(SPEC, here.ports).empty
    down(here)
    assert not here.vms


def test_a_container_that_a_killed_run_has_made_is_adopted() -> None:
    here = world()
    up(here)
    made = container(here)
    del here.kube_nodes[MachineName(LIGHT)]
    made.running, made.unit = False, ""
    here.journal.clear()
    up(here)
    assert not [call for call in here.journal if call.startswith("create")]
    assert f"start {LIGHT}" in here.journal
    assert here.kube_nodes[MachineName(LIGHT)].ready


def half_born(here: World) -> FakeVm:
    """A container as it is while Proxmox VE makes it: a lock, and neither record nor name."""
    vm = FakeVm(vmid=Vmid(7002), name="CT7002", pve_node=PVE1, lock="create", kind=MachineKind.LXC)
    here.vms[vm.vmid] = vm
    return vm


def being_born(here: World) -> None:
    """As if `up` had been killed while Proxmox VE made its container, which takes until second 20."""
    up(here)
    made = container(here)
    whole = (made.name, made.description, made.tags)
    made.name, made.description, made.tags, made.lock = "CT7002", "", "", "create"
    del here.kube_nodes[MachineName(LIGHT)]
    made.running, made.unit = False, ""
    here.journal.clear()

    class Birth(SteppingClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.now_s() > 20 and made.lock:
                (made.name, made.description, made.tags), made.lock = whole, None

    here.clock = Birth()


def test_down_waits_for_a_container_that_is_still_being_made_and_removes_it() -> None:
    here = world()
    being_born(here)
    down(here)
    assert not here.vms


def test_a_container_that_is_still_being_made_is_waited_for_and_not_made_twice() -> None:
    here = world()
    being_born(here)
    up(here)
    assert [vm.name for vm in here.vms.values()].count(LIGHT) == 1
    assert not [call for call in here.journal if call.startswith("create")]


def test_one_that_stays_so_is_nobodys_and_its_vmid_is_passed_over() -> None:
    here = world()
    stuck = half_born(here)
    up(here)
    assert container(here).vmid == 7003
    assert (stuck.lock, stuck.name) == ("create", "CT7002")
    down(here)
    assert list(here.vms.values()) == [stuck]


def test_another_container_on_the_vmid_is_left_alone() -> None:
    """Our record, name, tag and vmid, but another network card: somebody has restored or rebuilt it meanwhile."""
    here = world()
    up(here)
    plan = Down().plan(SPEC, here.ports)
    container(here).settings["net0"] = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:FF:FF:FF,ip=dhcp"
    with pytest.raises(NotOursError, match="is not a machine of this cluster"):
        Down().run(plan, SPEC, here.ports, sink=lambda _event: None, options=RunOptions())
    assert container(here).running


def test_the_login_is_roots_and_the_host_key_is_the_one_it_was_made_with(tmp_path: Path) -> None:
    here = world()
    up(here)
    vm = container(here).record()
    assert login_user(SPEC, vm) == "root"
    assert host_key(vm, SPEC, here.ports) == fingerprint(f"ssh-ed25519 AAAA{vm.vmid}").split()[1]
    item = known_hosts_item(vm)
    DirectoryStateStore(tmp_path).write(SPEC.name, item, "")
    assert item != known_hosts_item(replace(vm, mac="BC:24:11:FF:FF:FF"))
    other = here.vm_named("demo-workers-1")
    assert other is not None
    assert login_user(SPEC, other.record()) == SPEC.ssh.user
