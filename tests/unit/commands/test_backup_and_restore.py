"""`backup`, `backups` and `restore` over an in-memory world, cut off anywhere and run again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.observing.local_snapshots import snapshot_directory
from bootstrap.commands.reports.snapshots import list_snapshots
from bootstrap.commands.verbs.backup import Backup
from bootstrap.commands.verbs.restore import Restore
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError, PreflightError
from bootstrap.execution.report import Report
from bootstrap.model.cluster import BackupSpec, ClusterSpec, S3Spec
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import KubeNode
from bootstrap.records.snapshot_note import snapshot_at
from bootstrap.records.state.snapshot_names import parse_names
from bootstrap.records.state.state_items import OLD_TOKENS, SNAPSHOT_NAMES, TOKEN
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import FakeVm, World
from tests.fakes.world.datastore import MARKER, TAKEN_S

THREE = cluster(3, 2)
NEWER = MachineName("demo-workers-9")
BUCKET = S3Spec(endpoint="minio:9000", bucket="snaps", access_key="AK", secret_key="SK")


def built(spec: ClusterSpec = THREE) -> World:
    world = World()
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    world.journal.clear()
    return world


def backup(world: World, verb_options: Backup | None = None, spec: ClusterSpec = THREE) -> Report:
    verb_options = verb_options or Backup()
    plan = verb_options.plan(spec, world.ports)
    return verb_options.run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())


def restore(world: World, verb_options: Restore, spec: ClusterSpec = THREE) -> Report:
    plan = verb_options.plan(spec, world.ports)
    return verb_options.run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())


def vm(world: World, name: str) -> FakeVm:
    found = world.vm_named(name)
    assert found is not None
    return found


def add_stranger(world: World) -> None:
    """A node that the snapshot does not know, and one that it will: of a machine that is no more."""
    world.kube_nodes[NEWER] = KubeNode(name=NEWER, ready=True)


def acted(world: World, *verbs: str) -> list[str]:
    return [call for call in world.journal if call.split()[0] in verbs]


class TestBackup:
    def test_it_is_taken_on_one_healthy_server(self, tmp_path: Path) -> None:
        world = built()
        backup(world, Backup(name="before"))
        assert acted(world, "snapshot") == ["snapshot demo-cp-1"]
        (found,) = list_snapshots(THREE, world.ports, directory=tmp_path).snapshots
        assert found.name == f"before-demo-cp-1-{TAKEN_S}"
        assert found.machine == "demo-cp-1"
        assert found.made is not None
        assert int(found.made.timestamp()) == TAKEN_S

    def test_its_name_is_kept_for_shell_completion_until_it_is_gone(self, tmp_path: Path) -> None:
        world = built()

        def kept() -> set[str]:
            return set(parse_names(world.ports.state.read(DEMO, SNAPSHOT_NAMES), now_s=world.ports.processes.unix_s()))

        for name in ("before", "after"):
            backup(world, Backup(name=name))
        assert kept() == {f"before-demo-cp-1-{TAKEN_S}", f"after-demo-cp-1-{TAKEN_S + 1}"}
        there = {each.name for each in list_snapshots(THREE, world.ports, directory=tmp_path).snapshots}
        assert kept() == there
        world.lies["list-snapshots.sh"] = lambda _: ""
        list_snapshots(THREE, world.ports, directory=tmp_path)
        assert kept() == set()

    def test_one_that_is_fetched_has_its_note_and_its_token_beside_it_for_the_user_alone(self, tmp_path: Path) -> None:
        world = built()
        directory = tmp_path / "snapshots"
        backup(world, Backup(to=directory))
        name = f"manual-demo-cp-1-{TAKEN_S}"
        assert {path.name for path in directory.iterdir()} == {name, f"{name}.json", f"{name}.token"}
        assert (directory / name).read_text() == f"data of {name}"
        note = json.loads((directory / f"{name}.json").read_text())
        assert (note["cluster"], note["server"], note["size"]) == ("demo", "demo-cp-1", len(f"data of {name}"))
        token = world.state[DEMO, TOKEN]
        assert (directory / f"{name}.token").read_text() == f"{token}\n"
        assert token.rpartition(":")[2] not in (directory / f"{name}.json").read_text()
        for beside in (directory / f"{name}.json", directory / f"{name}.token"):
            assert beside.stat().st_mode & 0o777 == 0o600
        assert directory.stat().st_mode & 0o777 == 0o700
        assert "snapshot.out" not in vm(world, "demo-cp-1").files

    def test_of_those_that_are_fetched_here_the_newest_of_the_same_name_are_kept(self, tmp_path: Path) -> None:
        """Of all servers together; files of others that look alike, and other names, stay."""
        for name in ("upkeep-demo-cp-3-1700000001", "upkeep-demo-cp-2-1700000002.sqlite"):
            for ending in ("", ".json", ".token"):
                (tmp_path / f"{name}{ending}").touch()
        others = ("manual-demo-cp-1-1700000000", "upkeep-prod-cp-1-1700000000", "notes.txt")
        for name in others:
            (tmp_path / name).touch()
        backup(built(), Backup(name="upkeep", to=tmp_path, keep=2))
        left = {path.name.partition(".")[0] for path in tmp_path.iterdir()}
        assert left == {
            f"upkeep-demo-cp-1-{TAKEN_S}",
            "upkeep-demo-cp-2-1700000002",
            *(n.split(".")[0] for n in others),
        }

    def test_for_a_bucket_its_settings_go_along_and_the_keys_must_be_there(self) -> None:
        spec = replace(THREE, backup=BackupSpec(s3=BUCKET))
        world = built(spec)
        backup(world, Backup(s3=True), spec)
        assert "etcd-s3-secret-key: SK" in vm(world, "demo-cp-1").files["bucket"]
        keyless = replace(THREE, backup=BackupSpec(s3=replace(BUCKET, secret_key="")))
        with pytest.raises(PreflightError, match="keys of the bucket snaps"):
            Backup(s3=True).plan(keyless, world.ports)
        with pytest.raises(PreflightError, match="has no bucket"):
            Backup(s3=True).plan(THREE, world.ports)

    @pytest.mark.parametrize("name", ["", "a/b", "Über", "latest", "x" * 41, "-a", "a b", "$(id)"])
    def test_a_name_that_files_or_k3s_would_not_take_is_refused(self, name: str) -> None:
        with pytest.raises(PreflightError, match="cannot name a snapshot"):
            Backup(name=name).plan(THREE, built().ports)

    def test_without_a_server_that_is_ready_nothing_is_touched(self) -> None:
        world = built()
        for name in ("demo-cp-1", "demo-cp-2", "demo-cp-3"):
            vm(world, name).running = False
        with pytest.raises(PreflightError, match="no server of demo is Ready"):
            Backup().plan(THREE, world.ports)


class TestRestore:
    def verb_options(self, tmp_path: Path, snapshot: str = "latest") -> Restore:
        return Restore(snapshot=snapshot, directory=tmp_path)

    def test_all_servers_stop_one_gets_the_data_and_the_others_join_it_one_by_one(self, tmp_path: Path) -> None:
        world = built()
        backup(world)
        del world.kube_nodes[MachineName("demo-workers-2")]
        restore(world, self.verb_options(tmp_path))
        verbs = acted(world, "stop-k3s", "restore", "rejoin")
        assert sorted(verbs[:3]) == ["stop-k3s demo-cp-1", "stop-k3s demo-cp-2", "stop-k3s demo-cp-3"]
        assert verbs[3:] == ["restore demo-cp-1", "rejoin demo-cp-2", "rejoin demo-cp-3"]
        assert "demo-workers-2" in world.kube_nodes
        assert not [each.name for each in world.vms.values() if MARKER in each.files]

    def test_agents_whose_node_is_in_the_data_are_left_alone(self, tmp_path: Path) -> None:
        world = built()
        del world.kube_nodes[MachineName("demo-workers-2")]
        backup(world)
        restore(world, self.verb_options(tmp_path))
        # The server that got the data starts twice: alone first, then with its kubelet.
        assert acted(world, "restart") == ["restart demo-cp-1", "restart demo-workers-2"]
        assert sorted(world.datastore.passwords_forgotten) == sorted(each.name for each in world.vms.values())

    def test_nodes_of_machines_that_are_no_more_are_removed(self, tmp_path: Path) -> None:
        world = built()
        add_stranger(world)
        backup(world)
        restore(world, self.verb_options(tmp_path))
        assert NEWER not in world.kube_nodes

    def test_it_goes_to_the_server_that_has_it_on_its_disk(self, tmp_path: Path) -> None:
        world = built()
        vm(world, "demo-cp-1").running = False
        backup(world)
        vm(world, "demo-cp-1").running = True
        restore(world, self.verb_options(tmp_path))
        assert acted(world, "restore", "rejoin") == ["restore demo-cp-2", "rejoin demo-cp-1", "rejoin demo-cp-3"]
        # The first server began the cluster, and must not begin another one.
        assert "server: https://" in vm(world, "demo-cp-1").files["config.yaml"]

    def test_a_server_that_is_off_is_started_lest_it_comes_back_with_its_old_data(self, tmp_path: Path) -> None:
        world = built()
        backup(world)
        vm(world, "demo-cp-3").running = False
        restore(world, self.verb_options(tmp_path))
        assert acted(world, "rejoin") == ["rejoin demo-cp-2", "rejoin demo-cp-3"]

    def test_a_file_from_here_is_checked_and_sent(self, tmp_path: Path) -> None:
        world = built()
        backup(world, Backup(to=tmp_path))
        name = f"manual-demo-cp-1-{TAKEN_S}"
        del vm(world, "demo-cp-1").files[f"snapshots/{name}"]
        restore(world, self.verb_options(tmp_path, str(tmp_path / name)))
        assert acted(world, "restore") == ["restore demo-cp-1"]
        (tmp_path / name).write_text("rotten")
        with pytest.raises(PreflightError, match="is damaged"):
            self.verb_options(tmp_path, str(tmp_path / name)).plan(THREE, world.ports)
        other = replace(THREE, name=type(DEMO)("other"))
        with pytest.raises(PreflightError, match="of the cluster demo, not of other"):
            self.verb_options(tmp_path, str(tmp_path / name)).plan(other, world.ports)

    def test_latest_is_the_newest_anywhere(self, tmp_path: Path) -> None:
        world = built()
        backup(world, Backup(name="a"))
        backup(world, Backup(name="b", to=tmp_path))
        listed = list_snapshots(THREE, world.ports, directory=tmp_path).snapshots
        assert [each.name.partition("-")[0] for each in listed] == ["b", "b", "a"]
        plan = self.verb_options(tmp_path).plan(THREE, world.ports)
        # Of several places the server's own disk is the nearest.
        assert f"restore b-demo-cp-1-{TAKEN_S + 1}" in {step.step.title for lane in plan.lanes for step in lane.steps}
        assert all(not isinstance(getattr(step.step, "source", ""), Path) for lane in plan.lanes for step in lane.steps)

    @pytest.mark.parametrize("wanted", ["latest", "nothing-of-that-name"])
    def test_a_snapshot_that_is_nowhere_is_refused(self, tmp_path: Path, wanted: str) -> None:
        with pytest.raises(PreflightError, match="has no snapshot"):
            self.verb_options(tmp_path, wanted).plan(THREE, built().ports)

    def test_the_token_of_its_time_comes_with_a_snapshot(self, tmp_path: Path) -> None:
        world = built()
        backup(world)
        now = world.state[DEMO, TOKEN]
        world.state[DEMO, OLD_TOKENS] = f"{TAKEN_S + 100} oldtoken\n"
        restore(world, self.verb_options(tmp_path))
        servers = [each for each in world.vms.values() if "-cp-" in each.name]
        assert all("oldtoken" in each.files["service.env"] for each in servers)
        assert world.state[DEMO, TOKEN].endswith("::server:oldtoken")
        # Snapshots that were taken since can still be read.
        assert now.rpartition(":")[2] in world.state[DEMO, OLD_TOKENS]

    @pytest.mark.parametrize("script", ["stop-k3s.sh", "restore.sh", "rejoin.sh", "forget-passwords.sh"])
    def test_one_that_was_cut_off_is_repeated_and_nothing_starts_with_given_up_data(
        self, tmp_path: Path, script: str
    ) -> None:
        world = built()
        backup(world)
        world.broken_scripts.add(script)
        with pytest.raises(HomelabError):
            restore(world, self.verb_options(tmp_path))
        world.broken_scripts.clear()
        marked = [each for each in world.vms.values() if MARKER in each.files]
        if marked:
            # `up` starts what is stopped, but not these.
            with pytest.raises(HomelabError):
                Up().run(
                    Up().plan(THREE, world.ports), THREE, world.ports, sink=lambda _event: None, options=RunOptions()
                )
            assert not any(each.unit for each in marked)
        restore(world, self.verb_options(tmp_path))
        assert all(each.unit for each in world.vms.values())
        assert not any(MARKER in each.files for each in world.vms.values())

    def test_the_only_server_with_sqlite_needs_nobody_to_join(self, tmp_path: Path) -> None:
        spec = cluster(1, 1)
        world = built(spec)
        backup(world, spec=spec)
        restore(world, self.verb_options(tmp_path), spec)
        assert acted(world, "stop-k3s", "restore", "rejoin") == ["stop-k3s demo-cp-1", "restore demo-cp-1"]
        assert "cluster-init" not in vm(world, "demo-cp-1").files["config.yaml"]

    def test_a_name_in_the_bucket_is_taken_at_its_word(self, tmp_path: Path) -> None:
        spec = replace(THREE, backup=BackupSpec(s3=BUCKET))
        world = built(spec)
        verb_options = replace(self.verb_options(tmp_path, "daily-demo-cp-1-1740000000"), from_bucket=True)
        plan = verb_options.plan(spec, world.ports)
        assert any(getattr(step.step, "s3", False) for lane in plan.lanes for step in lane.steps)


def test_fetched_snapshots_outlive_the_state_of_their_cluster(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path, DEMO)
    assert (tmp_path / "clusters") not in directory.parents
    assert snapshot_at(directory / "x-1740830400", size=3, note=None).made is not None
