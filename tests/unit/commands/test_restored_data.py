"""Data that comes back: its keys, its nodes that tell of the time before, and machines that have other addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.backup import Backup
from bootstrap.commands.verbs.rebuild import Rebuild
from bootstrap.commands.verbs.restore import Restore
from bootstrap.commands.verbs.rotate import RotateToken
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from tests.fakes.specs import cluster
from tests.fakes.world import World

CP1 = MachineName("demo-cp-1")
ELSEWHERE = 40
"""By how much addresses differ that DHCP gives to the machines that come."""


def up(world: World, spec: ClusterSpec) -> None:
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())


def built(spec: ClusterSpec) -> World:
    world = World()
    up(world, spec)
    world.journal.clear()
    return world


def saved(world: World, spec: ClusterSpec, directory: Path) -> Path:
    """A snapshot's file here."""
    verb_options = Backup(to=directory)
    plan = verb_options.plan(spec, world.ports)
    verb_options.run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    (file,) = (path for path in directory.iterdir() if path.suffix not in (".json", ".token"))
    return file


def restore(world: World, spec: ClusterSpec, file: Path) -> None:
    verb_options = Restore(snapshot=str(file), directory=file.parent)
    plan = verb_options.plan(spec, world.ports)
    verb_options.run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())


def rebuild(world: World, spec: ClusterSpec, verb_options: Rebuild) -> None:
    plan = verb_options.plan(spec, world.ports)
    verb_options.run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())


def rotate(world: World, spec: ClusterSpec) -> None:
    plan = RotateToken().plan(spec, world.ports)
    RotateToken().run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())


def check_well(world: World, spec: ClusterSpec) -> None:
    """All machines are Ready by themselves, and Secrets can be read."""
    assert world.datastore.readable
    machines = {vm.name: vm for vm in world.vms.values() if vm.name.startswith("demo-")}
    assert set(world.kube_nodes) == set(machines)
    assert len(machines) == sum(pool.count for pool in spec.pools)
    for name, vm in machines.items():
        node = world.kube_nodes[MachineName(name)]
        assert node.address == vm.address, name
        assert not world.ends_again(vm), name
        assert not vm.alone, name
        assert vm.restarts == 0, name


class TestKeys:
    @pytest.mark.parametrize("servers", [1, 3])
    def test_a_snapshot_of_sqlite_comes_back_on_fresh_servers(self, servers: int, tmp_path: Path) -> None:
        one = cluster(1, 1)
        world = built(one)
        file = saved(world, one, tmp_path)
        assert file.suffix == ".sqlite"
        spec = cluster(servers, 1)
        rebuild(world, spec, Rebuild(snapshot=file))
        check_well(world, spec)
        roles = {name: "etcd" in node.roles for name, node in world.kube_nodes.items() if "cp" in name}
        assert roles == {f"demo-cp-{number}": servers > 1 for number in range(1, servers + 1)}

    @pytest.mark.parametrize("servers", [1, 3])
    def test_a_snapshot_of_sqlite_from_before_a_rotation_comes_back(self, servers: int, tmp_path: Path) -> None:
        one = cluster(1, 1)
        world = built(one)
        file = saved(world, one, tmp_path)
        spec = cluster(servers, 1)
        if servers > 1:
            rebuild(world, spec, Rebuild(snapshot=file))
        rotate(world, spec)
        restore(world, spec, file)
        check_well(world, spec)

    def test_agents_that_were_restarted_since_the_snapshot_need_not_report_again(self, tmp_path: Path) -> None:
        """Theirs is a running kubelet: it repeats a report that has not changed every 5 minutes only."""
        spec = cluster(1, 2)
        world = built(spec)
        file = saved(world, spec, tmp_path)
        world.clock.sleep(600)
        rotate(world, spec)
        world.clock.sleep(20)
        began_s = world.clock.now_s()
        restore(world, spec, file)
        check_well(world, spec)
        assert world.clock.now_s() - began_s < 60

    def test_cut_off_before_the_move_to_etcd_the_next_run_goes_on(self, tmp_path: Path) -> None:
        one, spec = cluster(1, 1), cluster(3, 1)
        world = built(one)
        file = saved(world, one, tmp_path)
        world.broken_scripts.add("forget-passwords.sh")
        with pytest.raises(HomelabError):
            rebuild(world, spec, Rebuild(snapshot=file))
        world.broken_scripts.clear()
        up(world, spec)
        check_well(world, spec)


class TestAddresses:
    @pytest.mark.parametrize("servers", [1, 3])
    def test_machines_that_are_rebuilt_with_their_data_may_have_other_addresses(
        self, servers: int, tmp_path: Path
    ) -> None:
        spec = cluster(servers, 2)
        world = built(spec)
        world.moves = ELSEWHERE
        rebuild(world, spec, Rebuild(keep_identity=True, latest_to=tmp_path))
        check_well(world, spec)

    def test_the_first_server_starts_with_its_kubelet_only_once_its_node_is_right(self, tmp_path: Path) -> None:
        spec = cluster(1, 1)
        world = built(spec)
        world.moves = ELSEWHERE
        rebuild(world, spec, Rebuild(keep_identity=True, latest_to=tmp_path))
        told = [call for call in world.journal if call in (f"put right {CP1}", f"restart {CP1}", f"restore {CP1}")]
        assert told == [f"restore {CP1}", f"put right {CP1}", f"restart {CP1}"]

    def test_data_with_other_addresses_of_machines_that_stand_is_put_right(self, tmp_path: Path) -> None:
        spec = cluster(3, 2)
        world = built(spec)
        file = saved(world, spec, tmp_path)
        for vm in world.vms.values():
            vm.moved = ELSEWHERE
        up_again = [vm.name for vm in world.vms.values() if vm.name.startswith("demo-")]
        world.kube_nodes.update(
            {
                MachineName(vm.name): world.kube_nodes[MachineName(vm.name)].__class__(
                    name=MachineName(vm.name), ready=True, address=vm.address
                )
                for vm in world.vms.values()
                if vm.name in up_again
            }
        )
        restore(world, spec, file)
        check_well(world, spec)

    def test_a_machine_that_was_off_comes_back_with_another_address(self) -> None:
        spec = cluster(3, 1)
        world = built(spec)
        for name in ("demo-cp-2", "demo-workers-1"):
            vm = world.vm_named(name)
            assert vm is not None
            vm.running, vm.moved = False, ELSEWHERE
        up(world, spec)
        check_well(world, spec)


class TestApiThatIsAway:
    @pytest.mark.parametrize("hiccups", [1, 7])
    @pytest.mark.parametrize("moment", ["restore", "rejoin", "put right", "restart"])
    def test_moments_without_an_answer_do_not_end_a_restore(self, hiccups: int, moment: str, tmp_path: Path) -> None:
        spec = cluster(3, 2)
        world = built(spec)
        file = saved(world, spec, tmp_path)
        for vm in world.vms.values():
            vm.moved = ELSEWHERE if moment == "put right" else 0

        def on_call(call: str) -> None:
            if call.startswith(moment):
                world.hiccups = hiccups

        world.on_call = on_call
        restore(world, spec, file)
        world.on_call = lambda _call: None
        check_well(world, spec)
