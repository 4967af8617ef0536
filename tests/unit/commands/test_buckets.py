"""Snapshots with a bucket: whose they are, what is told where it is in trouble, and which ones go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.snapshots import list_snapshots
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.backup import Backup
from bootstrap.commands.verbs.restore import Restore
from bootstrap.commands.verbs.up import Up
from bootstrap.commands.verbs.upgrade import Upgrade
from bootstrap.errors import HomelabError, PreflightError
from bootstrap.events import Event, Warned
from bootstrap.model.cluster import BackupSpec, ClusterSpec, S3Spec
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Snapshot
from tests.fakes.specs import cluster
from tests.fakes.world import FakeVm, World
from tests.fakes.world.datastore import MADE, TAKEN_S

BUCKET = S3Spec(endpoint="minio:9000", bucket="snaps", folder="demo", access_key="AK", secret_key="SK")
SPEC = replace(cluster(3, 1), backup=BackupSpec(s3=BUCKET))
AT_TOP = replace(SPEC, backup=BackupSpec(s3=replace(BUCKET, folder="")))
OTHERS = {
    "etcd-snapshot-attic-cp-1-1740000000": "attic-cp-1",
    "demo2/etcd-snapshot-demo2-cp-1-1740000000": "demo2-cp-1",
}


def built(spec: ClusterSpec = SPEC) -> World:
    world = World()
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    world.journal.clear()
    return world


def backup(world: World, spec: ClusterSpec = SPEC, verb_options: Backup | None = None) -> list[str]:
    """Take one; returns what was warned of."""
    verb_options = verb_options or Backup()
    told: list[Event] = []
    plan = verb_options.plan(spec, world.ports)
    verb_options.run(plan, spec, world.ports, sink=told.append, options=RunOptions())
    return [event.message for event in told if isinstance(event, Warned)]


def first(world: World) -> FakeVm:
    found = world.vm_named("demo-cp-1")
    assert found is not None
    return found


def on_disk(world: World) -> list[str]:
    return sorted(name.partition("/")[2] for name in first(world).files if name.startswith("snapshots/"))


def named(name: str, number: int) -> str:
    return f"{name}-demo-cp-1-{TAKEN_S + number}"


class TestWhose:
    def test_a_snapshot_goes_into_the_clusters_own_folder(self) -> None:
        world = built()
        backup(world, verb_options=Backup(s3=True))
        assert list(world.datastore.bucket.keys) == [f"demo/{named('manual', 0)}"]

    def test_other_clusters_snapshots_are_neither_listed_nor_counted_nor_restored(self, tmp_path: Path) -> None:
        world = built(AT_TOP)
        world.datastore.bucket.keys |= OTHERS
        assert list_snapshots(AT_TOP, world.ports, directory=tmp_path).snapshots == ()
        told = cluster_status(AT_TOP, world.ports).snapshots
        assert told is not None
        assert (told.count, told.newest) == (0, None)
        with pytest.raises(PreflightError, match="has no snapshot"):
            Restore(snapshot="latest", directory=tmp_path).plan(AT_TOP, world.ports)

    def test_those_from_before_there_was_a_folder_are_listed_and_told_of(self, tmp_path: Path) -> None:
        """The servers run on without a folder, or have got one since: either way none is lost from sight."""
        for servers in (AT_TOP, SPEC):
            world = built(servers)
            world.datastore.bucket.keys |= OTHERS
            world.datastore.bucket.keys["etcd-snapshot-demo-cp-2-1740000000"] = "demo-cp-2"
            found = list_snapshots(SPEC, world.ports, directory=tmp_path)
            assert [each.location for each in found.snapshots] == ["s3://snaps/etcd-snapshot-demo-cp-2-1740000000"]
            (note,) = found.notes
            assert note.startswith("1 snapshot at the top of the bucket snaps, from before the folder demo: ")

    def test_one_from_before_is_restored_from_where_it_lies(self, tmp_path: Path) -> None:
        world = built(AT_TOP)
        backup(world, AT_TOP)
        assert list(world.datastore.bucket.keys) == [named("manual", 0)]
        del first(world).files[f"snapshots/{named('manual', 0)}"]
        for wanted in ("latest", named("manual", 0), f"s3://snaps/{named('manual', 0)}"):
            verb_options = Restore(snapshot=wanted, directory=tmp_path)
            plan = verb_options.plan(SPEC, world.ports)
            verb_options.run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
        in_folder = Restore(snapshot=named("manual", 0), directory=tmp_path, from_bucket=True)
        with pytest.raises(HomelabError):
            in_folder.run(
                in_folder.plan(SPEC, world.ports), SPEC, world.ports, sink=lambda _event: None, options=RunOptions()
            )

    def test_what_lies_in_the_bucket_counts_and_not_a_record_of_it_that_is_out_of_date(self, tmp_path: Path) -> None:
        world = built()
        backup(world)
        name, keys = named("manual", 0), world.datastore.bucket.keys
        world.snapshots = world.datastore.records("demo")
        keys[name] = keys.pop(f"demo/{name}")
        found = list_snapshots(SPEC, world.ports, directory=tmp_path).snapshots
        assert {each.location for each in found if each.location.startswith("s3://")} == {f"s3://snaps/{name}"}

    @pytest.mark.parametrize("wanted", ["s3://others/x", "s3://snaps/", "s3://snaps/a b", "s3://"])
    def test_a_place_outside_of_the_bucket_is_refused(self, tmp_path: Path, wanted: str) -> None:
        with pytest.raises(PreflightError):
            Restore(snapshot=wanted, directory=tmp_path).plan(SPEC, built().ports)

    def test_a_restore_that_was_cut_off_names_the_place_since_nobody_lists_it_then(self, tmp_path: Path) -> None:
        world = built()
        backup(world)
        del first(world).files[f"snapshots/{named('manual', 0)}"]
        world.broken_scripts.add("restore.sh")
        verb_options = Restore(snapshot=named("manual", 0), directory=tmp_path)
        with pytest.raises(HomelabError):
            verb_options.run(
                verb_options.plan(SPEC, world.ports), SPEC, world.ports, sink=lambda _event: None, options=RunOptions()
            )
        left = " ".join(cluster_status(SPEC, world.ports).problems)
        assert f"restore s3://snaps/demo/{named('manual', 0)}" in left


class TestTrouble:
    def test_a_denied_upload_is_no_success_and_the_reason_is_k3s_own(self) -> None:
        """k3s exits with 0 and says one `saved.`; its record has the reason."""
        world = built()
        world.datastore.bucket.denied = "Access Denied."
        with pytest.raises(HomelabError) as caught:
            backup(world, verb_options=Backup(s3=True))
        text = f"{caught.value} {caught.value.details} {caught.value.resolution}"
        assert f"{named('manual', 0)} is on this server, but not in the bucket snaps" in text
        assert "Access Denied." in text
        assert "backup --to s3" in text
        assert on_disk(world) == [named("manual", 0)]

    def test_status_tells_that_the_last_one_did_not_get_into_the_bucket(self) -> None:
        """k3s takes those of its schedule, and says nothing of a bucket that denies them."""
        world = built()
        backup(world)
        assert cluster_status(SPEC, world.ports).problems == ()
        denied = Snapshot(
            name=named("etcd-snapshot", 60),
            machine=MachineName("demo-cp-2"),
            location=f"s3://snaps/demo/{named('etcd-snapshot', 60)}",
            made=MADE + timedelta(minutes=1),
            problem="Access Denied.",
        )
        world.snapshots = (denied,)
        (problem,) = cluster_status(SPEC, world.ports).problems
        assert problem.startswith(f"the snapshot {denied.name} is not in the bucket: Access Denied.; check ")
        world.snapshots = (denied, replace(denied, name="later", problem="", made=MADE + timedelta(minutes=2)))
        assert cluster_status(SPEC, world.ports).problems == ()

    def test_one_that_was_to_be_fetched_as_well_is_here_all_the_same(self, tmp_path: Path) -> None:
        world = built()
        world.datastore.bucket.denied = "Access Denied."
        with pytest.raises(HomelabError):
            backup(world, verb_options=Backup(s3=True, to=tmp_path))
        assert (tmp_path / named("manual", 0)).is_file()

    @pytest.mark.parametrize("trouble", ["denied", "dead"])
    def test_a_plain_backup_is_taken_and_warns_of_the_bucket(self, trouble: str) -> None:
        world = built()
        setattr(world.datastore.bucket, trouble, "it is on fire")
        (warning,) = backup(world)
        assert "not in the bucket snaps: it is on fire; check the bucket's endpoint" in warning
        assert on_disk(world) == [named("manual", 0)]

    def test_a_dead_bucket_does_not_stop_an_upgrade(self) -> None:
        world = built()
        world.datastore.bucket.dead = "it is on fire"
        verb_options = Upgrade(to="v1.33.4+k3s1")
        told: list[Event] = []
        verb_options.run(
            verb_options.plan(SPEC, world.ports), SPEC, world.ports, sink=told.append, options=RunOptions()
        )
        assert all(node.version == "v1.33.4+k3s1" for node in world.kube_nodes.values())
        assert [event for event in told if isinstance(event, Warned) and "it is on fire" in event.message]

    def test_one_that_was_asked_for_by_name_fails_with_a_dead_bucket(self) -> None:
        world = built()
        world.datastore.bucket.dead = "it is on fire"
        with pytest.raises(HomelabError) as caught:
            backup(world, verb_options=Backup(s3=True))
        assert "it is on fire" in str(caught.value.details)

    def test_without_the_keys_here_the_server_goes_by_its_own(self) -> None:
        world = built()
        keyless = replace(SPEC, backup=BackupSpec(s3=replace(BUCKET, access_key="", secret_key="")))
        assert backup(world, keyless) == []
        assert list(world.datastore.bucket.keys) == [f"demo/{named('manual', 0)}"]

    def test_a_bucket_that_does_not_answer_is_told_of_beside_what_is_on_the_disks(self, tmp_path: Path) -> None:
        world = built()
        backup(world)
        world.datastore.bucket.dead = "it is on fire"
        found = list_snapshots(SPEC, world.ports, directory=tmp_path)
        assert found.problems == ()
        assert any("bucket snaps could not be listed: " in note and "it is on fire" in note for note in found.notes)
        assert [each for each in found.snapshots if each.machine == "demo-cp-1"]


class TestKept:
    def test_of_one_name_only_so_many_are_kept_on_the_server_and_in_the_bucket(self) -> None:
        spec = replace(SPEC, backup=BackupSpec(on_demand_retention=2, s3=BUCKET))
        world = built(spec)
        world.datastore.bucket.keys |= {f"demo/{named('etcd-snapshot', -9)}": "demo-cp-1", **OTHERS}
        first(world).files[f"snapshots/{named('etcd-snapshot', -9)}"] = "k3s's own"
        for name in ("manual", "other", "manual", "manual"):
            backup(world, spec, Backup(name=name))
        kept = [named("manual", 2), named("manual", 3), named("other", 1), named("etcd-snapshot", -9)]
        assert on_disk(world) == sorted(kept)
        assert set(world.datastore.bucket.keys) == {f"demo/{name}" for name in kept} | set(OTHERS)

    def test_all_on_demand_are_kept_unless_the_inventory_says_otherwise(self) -> None:
        world = built()
        for _ in range(8):
            backup(world)
        assert len(on_disk(world)) == 8

    def test_five_from_before_upgrades_are_kept(self) -> None:
        world = built()
        old = [f"before-v1.3{minor}.1-k3s1-demo-cp-1-174000000{minor}" for minor in range(1, 8)]
        first(world).files |= {f"snapshots/{name}": "old" for name in (*old, "before-me-demo-cp-1-1740000000")}
        verb_options = Upgrade(to="v1.33.4+k3s1")
        plan = verb_options.plan(SPEC, world.ports)
        verb_options.run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
        assert on_disk(world) == sorted([*old[-4:], "before-me-demo-cp-1-1740000000", named("before-v1.33.4-k3s1", 0)])

    def test_where_old_ones_cannot_be_removed_the_new_one_is_good_all_the_same(self) -> None:
        spec = replace(SPEC, backup=BackupSpec(on_demand_retention=1, s3=BUCKET))
        world = built(spec)
        backup(world, spec)
        world.broken_scripts.add("drop-snapshots.sh")
        (warning,) = backup(world, spec)
        assert "old snapshots could not be removed" in warning

    def test_a_name_that_k3s_would_count_among_its_own_is_refused(self) -> None:
        with pytest.raises(PreflightError, match="cannot name a snapshot"):
            Backup(name="etcd-snapshot-mine").plan(SPEC, built().ports)
