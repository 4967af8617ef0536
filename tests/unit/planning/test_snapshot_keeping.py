"""Which snapshots in a bucket are a cluster's own, and which of those that we take are one too many."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.model.cluster import BackupSpec, ClusterSpec, S3Spec
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Snapshot
from bootstrap.planning.day2_steps import Upload
from bootstrap.planning.settings.snapshot_retention import (
    before_upgrade,
    is_left_behind,
    is_own,
    kept_on_demand,
    location_in,
    parse_name,
    surplus,
    upload_of,
)
from tests.fakes.specs import DEMO, cluster


def spec(folder: str = "demo") -> ClusterSpec:
    bucket = S3Spec(endpoint="minio:9000", bucket="snaps", folder=folder, access_key="AK", secret_key="SK")
    return replace(cluster(3, 1), backup=BackupSpec(s3=bucket))


def afar(key: str, server: str | None = None) -> Snapshot:
    machine = MachineName(server) if server else None
    return Snapshot(name=key.rpartition("/")[2], machine=machine, location=f"s3://snaps/{key}")


@pytest.mark.parametrize(
    ("key", "server", "own"),
    [
        ("demo/etcd-snapshot-demo-cp-1-1740000000", None, True),
        ("demo/whatever", None, True),  # all in the folder of the cluster's name
        ("etcd-snapshot-demo-cp-2-1740000000", None, True),  # from before there was a folder
        ("etcd-snapshot-demo-cp-2-1740000000.zip", None, True),
        ("etcd-snapshot-attic-cp-1-1740000000", None, False),
        ("etcd-snapshot-demo-w-1-1740000000", None, False),
        ("holiday.jpg", None, False),
        ("nightly", "demo-cp-1", True),  # what k3s wrote beside it tells more than the name
        ("etcd-snapshot-demo-cp-1-1740000000", "attic-demo-cp-1", False),
        ("demo2/etcd-snapshot-demo-cp-1-1740000000", None, False),  # k3s lists by the beginning of a key
        ("demo/deeper/etcd-snapshot-demo-cp-1-1740000000", None, False),
    ],
)
def test_of_what_k3s_lists_in_a_bucket_only_our_servers_in_our_folder_and_at_the_top_are_ours(
    key: str, server: str | None, own: bool
) -> None:
    assert is_own(afar(key, server), spec()) is own


def test_in_a_folder_that_clusters_share_each_has_its_own_servers() -> None:
    assert is_own(afar("homelab/daily-demo-cp-1-1740000000"), spec("homelab"))
    assert not is_own(afar("homelab/daily-attic-cp-1-1740000000"), spec("homelab"))


def test_what_lies_on_disks_is_ours_and_without_a_bucket_in_the_inventory_any_folder_is() -> None:
    here = Snapshot(name="x", machine=MachineName("demo-cp-1"), location="file:///x")
    assert is_own(here, spec())
    assert is_own(afar("anywhere/daily-demo-cp-1-1740000000"), cluster())


def test_what_lies_at_the_top_beside_a_folder_is_left_behind() -> None:
    assert is_left_behind(afar("daily-demo-cp-1-1740000000"), spec())
    assert not is_left_behind(afar("demo/daily-demo-cp-1-1740000000"), spec())
    assert not is_left_behind(afar("daily-demo-cp-1-1740000000"), spec(""))


def test_a_place_is_the_folder_and_the_name() -> None:
    for each in (spec(), spec("")):
        assert each.backup.s3 is not None
    bucket = spec().backup.s3
    assert bucket is not None
    assert location_in(bucket, "x") == "s3://snaps/demo/x"
    assert location_in(replace(bucket, folder=""), "x") == "s3://snaps/x"


def test_a_name_is_its_kind_its_server_and_its_time() -> None:
    found = parse_name("before-the-storm-demo-cp-12-1740000000.sqlite", DEMO)
    assert found is not None
    assert (found.kind, found.server, found.made_s) == ("before-the-storm", "demo-cp-12", 1740000000)
    kinds = {
        getattr(parse_name(f"{before_upgrade(version)}-demo-cp-1-1740000000", DEMO), "kind", None)
        for version in ("v1.34.1+k3s1", "v1.36.0-rc1+k3s2", "v1.36.0-alpha.1+k3s1")
    }
    assert len(kinds) == 1
    own = parse_name("before-v1.34-demo-cp-1-1740000000", DEMO)
    assert own is not None
    assert own.kind == "before-v1.34"  # a user's name, and no release's
    assert parse_name("before-attic-cp-1-1740000000", DEMO) is None


def names(*parts: str) -> list[str]:
    return [f"{part.rpartition('@')[0]}-demo-cp-1-17400000{part.rpartition('@')[2]}" for part in parts]


def test_only_older_ones_of_the_same_kind_and_server_are_one_too_many() -> None:
    there = names("manual@10", "manual@30", "manual@20", "other@05", "etcd-snapshot@01", "manual-2@02")
    there += ["manual-demo-cp-2-1740000001", "manual-attic-cp-1-1740000001"]
    (new,) = names("manual@40")
    assert surplus(new, there, keep=2, cluster=DEMO) == tuple(names("manual@10", "manual@20"))
    assert surplus(new, [*there, new], keep=4, cluster=DEMO) == ()
    assert surplus(new, there, keep=1, cluster=DEMO) == tuple(names("manual@10", "manual@20", "manual@30"))
    assert surplus("of-nobody", there, keep=1, cluster=DEMO) == ()


def test_snapshots_before_upgrades_are_one_kind_whatever_the_version() -> None:
    there = names("before-v1.33.1-k3s1@10", "before-v1.34.1-k3s1@20", "before-v1@05", "before@06")
    (new,) = names("before-v1.35.0-k3s1@30")
    assert surplus(new, there, keep=1, cluster=DEMO) == tuple(names("before-v1.33.1-k3s1@10", "before-v1.34.1-k3s1@20"))


def test_all_on_demand_are_kept_and_five_before_upgrades_unless_the_inventory_says_otherwise() -> None:
    assert (kept_on_demand(cluster()), kept_on_demand(cluster(), upgrade=True)) == (None, 5)
    said = replace(cluster(), backup=BackupSpec(on_demand_retention=2))
    assert (kept_on_demand(said), kept_on_demand(said, upgrade=True)) == (2, 2)


def test_the_bucket_is_a_must_where_it_was_asked_for_and_else_tried_where_there_is_one() -> None:
    assert upload_of(spec(), asked=True) is Upload.MUST
    assert upload_of(spec(), asked=False) is Upload.TRY
    assert upload_of(cluster(), asked=False) is Upload.NO
