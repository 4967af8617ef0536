"""k3s's own settings of snapshots: on servers with etcd, and the bucket's keys in files that are secret."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import yaml

from bootstrap.k3s.config import render_bucket, render_config
from bootstrap.model.cluster import BackupSpec, ClusterSpec, S3Spec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec, Role
from tests.fakes.specs import cluster

ADDRESS = IPv4Address("192.0.2.50")
BUCKET = S3Spec(endpoint="minio.home:9000", bucket="snaps", folder="lab", access_key="AK", secret_key="SK")
SPEC = replace(cluster(), backup=BackupSpec(schedule="0 */6 * * *", retention=14, s3=BUCKET))


def server(name: str = "demo-cp-1", role: Role = Role.CONTROL_PLANE) -> MachineSpec:
    pool = cluster().control_plane
    return MachineSpec(
        name=MachineName(name), role=role, pool=pool.name, cores=2, memory_mib=2048, disk_gib=20, cpu_type="host"
    )


def config(spec: ClusterSpec, *, etcd: bool, join: IPv4Address | None, role: Role = Role.CONTROL_PLANE) -> object:
    text = render_config(spec, server(role=role), address=ADDRESS, etcd=etcd, join=join)
    return {key: value for key, value in yaml.safe_load(text).items() if key.startswith("etcd-")}


def test_every_server_with_etcd_has_the_schedule_and_the_bucket() -> None:
    wanted = {
        "etcd-snapshot-schedule-cron": "0 */6 * * *",
        "etcd-snapshot-retention": 14,
        "etcd-s3": True,
        "etcd-s3-endpoint": "minio.home:9000",
        "etcd-s3-bucket": "snaps",
        "etcd-s3-region": "us-east-1",
        "etcd-s3-folder": "lab",
        "etcd-s3-access-key": "AK",
        "etcd-s3-secret-key": "SK",
        "etcd-s3-retention": 42,
    }
    assert config(SPEC, etcd=True, join=None) == wanted
    assert config(SPEC, etcd=False, join=ADDRESS) == wanted


def test_sqlite_servers_and_agents_have_none_of_it() -> None:
    assert config(SPEC, etcd=False, join=None) == {}
    assert config(SPEC, etcd=False, join=ADDRESS, role=Role.WORKER) == {}


def test_what_is_not_said_is_left_to_k3s() -> None:
    assert config(cluster(), etcd=True, join=None) == {}
    bucket = replace(BUCKET, access_key="", secret_key="", folder="", insecure=True, skip_verify=True)
    settings = yaml.safe_load(render_bucket(bucket, MachineName("demo-cp-2")))
    assert settings["node-name"] == "demo-cp-2"
    assert settings["etcd-s3-insecure"] is True
    assert settings["etcd-s3-skip-ssl-verify"] is True
    assert not {"etcd-s3-access-key", "etcd-s3-secret-key", "etcd-s3-folder"} & settings.keys()


def test_in_the_bucket_where_all_servers_are_counted_together_more_are_kept_than_on_one() -> None:
    def kept(backup: BackupSpec) -> object:
        text = render_config(replace(SPEC, backup=backup), server(), address=ADDRESS, etcd=True, join=None)
        return yaml.safe_load(text)["etcd-s3-retention"]

    assert kept(BackupSpec(s3=BUCKET)) == 15  # three servers, with k3s's own five each
    assert kept(BackupSpec(retention=14, s3=replace(BUCKET, retention=60))) == 60


def test_a_snapshot_that_we_take_for_the_bucket_prunes_nothing_there() -> None:
    assert "etcd-s3-retention" not in yaml.safe_load(render_bucket(BUCKET, MachineName("demo-cp-1")))


def test_the_keys_are_in_no_text_made_for_people() -> None:
    assert "SK" not in repr(SPEC)
    assert "AK" not in repr(SPEC)
