"""Snapshots: taken, listed, scheduled, kept in a bucket, and restored by a cluster-reset."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from bootstrap.lab.standin.logs import Fatal
from bootstrap.lab.standin.snapshots.schedule import cron_next
from tests.doubles import s3
from tests.doubles.k3s.machines import TOKEN, Cluster, Machine, Machines, eventually
from tests.doubles.k3s.test_life import SHORT_LIVED, etcd_server

RESET = (
    "Managed etcd cluster membership has been reset, restart without --cluster-reset flag now. Backup and delete "
    "${datadir}/server/db on each peer etcd server and rejoin the nodes"
)


@pytest.fixture
def bucket() -> Iterator[s3.Buckets]:
    with s3.running("backups") as held:
        yield held


def in_bucket(held: s3.Buckets, **more: object) -> dict[str, object]:
    return {"etcd_s3": True, "etcd_s3_endpoint": held.endpoint, "etcd_s3_bucket": "backups", "etcd_s3_insecure": True,
            "etcd_s3_access_key": held.access_key, "etcd_s3_secret_key": held.secret_key,
            "etcd_s3_folder": "demo cluster", **more}  # fmt: skip


def save(server: Machine, *words: str) -> str:
    """Take a snapshot; returns its name."""
    done = server.run("etcd-snapshot", "save", *words)
    assert done.returncode == 0, done.stderr
    found = re.search(r'msg="Snapshot (\S+) saved\."', done.stderr)
    assert found, done.stderr
    return found[1]


def listed(server: Machine, *words: str) -> list[dict[str, Any]]:
    done = server.run("etcd-snapshot", "ls", "-o", "json", *words)
    assert done.returncode == 0, done.stderr
    items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return items


def objects(cluster: Cluster) -> list[dict[str, Any]]:
    api: Any = client.CustomObjectsApi(cluster.api_client)
    items: list[dict[str, Any]] = api.list_cluster_custom_object("k3s.cattle.io", "v1", "etcdsnapshotfiles")["items"]
    return items


def maps(cluster: Cluster) -> set[str]:
    return {item.metadata.name for item in cluster.core.list_namespaced_config_map("default").items}


def make_map(cluster: Cluster, name: str) -> None:
    cluster.core.create_namespaced_config_map("default", {"metadata": {"name": name}})


def test_snapshots_are_saved_listed_deleted_and_pruned(machines: Machines) -> None:
    server = etcd_server(machines, "s1")
    cluster = Cluster(server)
    cluster.wait_ready("s1")
    name = save(server)
    assert re.fullmatch(r"on-demand-s1-\d{10}", name)
    path = server.server_dir / "db/snapshots" / name
    assert path.stat().st_mode & 0o777 == 0o600
    named = save(server, "--name", "before-upgrade")
    items = listed(server)
    assert {item["spec"]["snapshotName"] for item in items} == {name, named}
    item = next(item for item in items if item["spec"]["snapshotName"] == name)
    assert item["spec"] == {"snapshotName": name, "nodeName": "s1", "location": f"file://{path}"}
    assert item["status"]["size"] == str(path.stat().st_size)
    table = server.run("etcd-snapshot", "list").stdout.splitlines()
    assert table[0].split() == ["Name", "Location", "Size", "Created"]
    assert [name, f"file://{path}", str(path.stat().st_size)] in [line.split()[:3] for line in table]
    text = server.run("etcd-snapshot", "ls", "--output", "yaml").stdout
    assert yaml.safe_load(text)["items"] == items
    found = {o["spec"]["snapshotName"]: o for o in objects(cluster)}
    assert set(found) == {name, named}
    assert found[name]["status"] == item["status"]
    assert found[name]["metadata"]["name"].startswith(f"local-{name}-")
    assert found[name]["metadata"]["labels"] == {"etcd.k3s.cattle.io/snapshot-storage-node": "s1"}
    assert name in cluster.kubectl("get", "etcdsnapshotfiles")
    deleted = server.run("etcd-snapshot", "delete", named, "no-such-snapshot")
    assert f"Snapshot {named} deleted." in deleted.stderr
    assert "Snapshot no-such-snapshot not found." in deleted.stderr
    assert {o["spec"]["snapshotName"] for o in objects(cluster)} == {name}
    shutil.copy(path, path.with_name("on-demand-s1-1600000000"))
    assert server.run("etcd-snapshot", "prune", "--snapshot-retention", "1").returncode == 0
    assert [p.name for p in path.parent.iterdir()] == [name]
    cluster.close()


def test_sqlite_has_no_snapshots_and_says_so_in_k3s_words(machines: Machines) -> None:
    done = machines.server("s1").run("etcd-snapshot", "save")
    assert done.returncode == 1
    assert 'level=fatal msg="Error: see server log for details: etcd datastore disabled"' in done.stderr


def test_snapshot_commands_fail_plainly(machines: Machines) -> None:
    server = etcd_server(machines, "s1", None)
    assert "no snapshots given for removal" in server.run("etcd-snapshot", "delete").stderr
    assert "invalid output format: xml" in server.run("etcd-snapshot", "ls", "-o", "xml").stderr
    missing = server.run("etcd-snapshot", "save", "--dir", str(server.root / "nowhere"))
    assert missing.returncode == 1
    assert "No such file or directory" in missing.stderr
    server.terminate()
    gone = server.run("etcd-snapshot", "save")
    assert gone.returncode == 1
    assert "connect: connection refused" in gone.stderr


def test_scheduled_snapshots_are_taken_and_only_so_many_kept(machines: Machines) -> None:
    server = machines.server(
        "s1", cluster_init=True, etcd_snapshot_schedule_cron="@every 1s", etcd_snapshot_retention=2
    )
    folder = server.server_dir / "db/snapshots"

    def taken() -> list[str]:
        return sorted(path.name for path in folder.glob("etcd-snapshot-s1-*")) if folder.exists() else []

    first = eventually(taken, "the first one")
    eventually(lambda: first[0] not in taken(), "it went for newer ones")
    assert 1 <= len(taken()) <= 3


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("0 */12 * * *", "2026-03-01 12:00"),
        ("*/20 * * * *", "2026-03-01 10:40"),
        ("5 4 1 * *", "2026-04-01 04:05"),
        ("30 2 * * 0", "2026-03-08 02:30"),
        ("0 8,20 * 3-5 *", "2026-03-01 20:00"),
        ("0 0 15 * 1", "2026-03-02 00:00"),
        ("@daily", "2026-03-02 00:00"),
    ],
)
def test_schedules_are_read_as_cron_reads_them(schedule: str, expected: str) -> None:
    now = time.mktime(time.strptime("2026-03-01 10:30", "%Y-%m-%d %H:%M"))  # a Sunday
    assert time.strftime("%Y-%m-%d %H:%M", time.localtime(cron_next(schedule, now))) == expected


@pytest.mark.parametrize("schedule", ["* * * *", "a * * * *", "0 0 31 2 *"])
def test_schedules_that_cannot_be_are_refused(schedule: str) -> None:
    with pytest.raises(Fatal):
        cron_next(schedule, time.time())


def test_bucket_holds_snapshots_lists_them_and_gives_them_back(machines: Machines, bucket: s3.Buckets) -> None:
    server = machines.server("s1", cluster_init=True, **in_bucket(bucket))
    cluster = Cluster(server)
    cluster.wait_ready("s1")
    make_map(cluster, "before")
    name = save(server, "--name", "kept")
    path = server.server_dir / "db/snapshots" / name
    assert bucket.objects == {"backups": {f"demo cluster/{name}": path.read_bytes()}}
    places = {item["spec"]["location"]: item for item in listed(server)}
    assert set(places) == {f"file://{path}", f"s3://backups/demo cluster/{name}"}
    spec = places[f"s3://backups/demo cluster/{name}"]["spec"]["s3"]
    assert spec == {"endpoint": bucket.endpoint, "bucket": "backups", "region": "us-east-1", "insecure": True,
                    "prefix": "demo cluster"}  # fmt: skip
    assert {o["metadata"]["labels"]["etcd.k3s.cattle.io/snapshot-storage-node"] for o in objects(cluster)} == {
        "s1",
        "s3",
    }
    assert bucket.secret_key not in json.dumps(objects(cluster))
    make_map(cluster, "after")
    cluster.close()
    server.terminate()
    path.unlink()
    done = server.run("server", "--cluster-reset", f"--cluster-reset-restore-path={name}")
    assert done.returncode == 0, done.stderr
    assert f"Retrieving etcd snapshot {name} from S3" in done.stderr
    server.start("server")
    server.logs("k3s is up and running", times=2)
    cluster = Cluster(server)
    assert maps(cluster) == {"before"}
    cluster.close()
    server.run("etcd-snapshot", "delete", name)
    assert bucket.objects == {"backups": {}}
    assert bucket.refused == []


def test_a_denied_upload_ends_well_and_is_in_a_record_alone(machines: Machines, bucket: s3.Buckets) -> None:
    """As seen with k3s 1.36.3: exit code 0, one line `saved.` instead of two, and status.error."""
    server = machines.server("s1", cluster_init=True, **in_bucket(bucket))
    cluster = Cluster(server)
    cluster.wait_ready("s1")
    good = server.run("etcd-snapshot", "save", "--name", "good")
    assert len(re.findall(r'msg="Snapshot good-s1-\d+ saved\."', good.stderr)) == 2
    bucket.denies = "Access Denied."
    denied = server.run("etcd-snapshot", "save", "--name", "denied")
    assert denied.returncode == 0
    assert len(re.findall(r'msg="Snapshot denied-s1-\d+ saved\."', denied.stderr)) == 1
    found = {o["metadata"]["name"].partition("-denied")[0]: o for o in objects(cluster) if "denied" in str(o["spec"])}
    assert found["local"]["status"]["readyToUse"] is True
    record = found["s3"]
    assert record["status"]["readyToUse"] is False
    assert record["status"]["error"]["message"] == "Access Denied."
    assert record["status"]["size"] == "0"
    assert "annotations" not in record["metadata"]
    assert record["metadata"]["finalizers"] == ["wrangler.cattle.io/managed-etcd-snapshots-controller"]
    assert record["spec"]["nodeName"] == "s1"
    save(server, "--name", "later", "--etcd-s3=false")
    assert record["metadata"]["name"] in {o["metadata"]["name"] for o in objects(cluster)}, "it stays for a day"
    cluster.close()


def test_others_in_the_bucket_are_listed_and_pruned_by_the_beginning_of_their_keys(
    machines: Machines, bucket: s3.Buckets
) -> None:
    server = machines.server("s1", cluster_init=True, **in_bucket(bucket, etcd_s3_folder="lab"))
    others = {"lab/nightly-other-cp-1-1700000000", "lab2/nightly-lab2-cp-1-1700000000", "top-s1-1700000000"}
    bucket.objects["backups"] |= dict.fromkeys(others, b"theirs")
    name = save(server, "--name", "nightly")
    items = [item for item in listed(server) if item["spec"]["location"].startswith("s3://")]
    assert {item["spec"]["location"].removeprefix("s3://backups/") for item in items} == {
        "lab/nightly-other-cp-1-1700000000",
        "lab2/nightly-lab2-cp-1-1700000000",
        f"lab/{name}",
    }
    assert {item["spec"]["nodeName"] for item in items} == {"s1", "s3"}
    everything = listed(server, "--etcd-s3-folder", "")
    assert len([item for item in everything if "s3" in item["spec"]]) == 4
    assert set(bucket.objects["backups"]) == {*others, f"lab/{name}"}, "to save prunes nothing"
    save(server, "--name", "nightly", "--etcd-s3-retention", "1")
    assert "lab/nightly-other-cp-1-1700000000" not in bucket.objects["backups"]
    assert len([key for key in bucket.objects["backups"] if key.startswith("lab/")]) == 1


def test_what_is_listed_is_a_list_of_records_and_the_servers_own_settings_are_passed_over(machines: Machines) -> None:
    server = machines.server("s1", cluster_init=True)
    name = save(server)
    (server.server_dir / "db/snapshots/x.sqlite").write_bytes(b"ours")
    done = server.run("etcd-snapshot", "ls", "-o", "json")
    found = json.loads(done.stdout)
    assert (found["kind"], found["apiVersion"], found["metadata"]) == ("List", "v1", {})
    assert {item["metadata"]["name"] for item in found["items"]} == {f"local-{name}", "local-x.sqlite"}
    assert all(item["metadata"].keys() == {"name", "labels"} for item in found["items"])
    assert "Unknown flag --cluster-init found in config.yaml, skipping" in done.stderr


def test_a_bucket_that_is_not_there_keeps_k3s_from_any_snapshot(machines: Machines, bucket: s3.Buckets) -> None:
    server = machines.server("s1", cluster_init=True, **in_bucket(bucket, etcd_s3_bucket="nosuch"))
    done = server.run("etcd-snapshot", "save")
    assert done.returncode == 1
    said = "failed to initialize S3 client: bucket nosuch does not exist"
    assert f'level=fatal msg="Error: see server log for details: {said}"' in done.stderr
    assert not list((server.server_dir / "db").glob("snapshots/on-demand*"))
    assert server.run("etcd-snapshot", "ls").returncode == 1
    save(server, "--etcd-s3=false")


def test_a_refusing_bucket_is_reported(machines: Machines, bucket: s3.Buckets) -> None:
    server = machines.server("s1", cluster_init=True, **in_bucket(bucket, etcd_s3_secret_key="wrong"))
    done = server.run("etcd-snapshot", "save")
    assert done.returncode == 1
    assert "failed to test for existence of bucket backups" in done.stderr
    assert set(bucket.refused) == {"SignatureDoesNotMatch"}
    missing = server.run("etcd-snapshot", "save", "--s3-bucket=nobody", f"--s3-secret-key={bucket.secret_key}")
    assert "bucket nobody does not exist" in missing.stderr


def test_reset_restores_a_snapshot_and_the_others_join_again(machines: Machines) -> None:
    first = etcd_server(machines, "s1")
    others = [etcd_server(machines, "s2", first), etcd_server(machines, "s3", first)]
    agent = machines.agent("a1", first)
    cluster = Cluster(first)
    cluster.wait_ready("s1", "s2", "s3", "a1")
    make_map(cluster, "before")
    path = first.server_dir / "db/snapshots" / save(first)
    make_map(cluster, "after")
    cluster.close()
    busy = first.run("server", "--cluster-reset", f"--cluster-reset-restore-path={path}")
    assert busy.returncode == 1
    assert "2380: bind: address already in use" in busy.stderr
    agent.terminate()
    (agent.root / "etc/rancher/node/password").write_text("changed since\n")
    for server in (*others, first):
        server.terminate()
    done = first.run("server", "--cluster-reset", f"--cluster-reset-restore-path={path}")
    assert done.returncode == 0, done.stderr
    assert RESET in done.stderr
    assert (first.server_dir / "db/reset-flag").exists()
    assert list((first.server_dir / "db").glob("etcd-old-*"))
    again = first.run("server", "--cluster-reset")
    assert again.returncode == 1
    assert "Managed etcd cluster membership was previously reset, please remove the cluster-reset flag" in again.stderr
    first.start("server")
    first.logs("k3s is up and running", times=2)
    assert not (first.server_dir / "db/reset-flag").exists()
    for server in others:
        refused = server.run("server", "--cluster-reset")
        assert "cannot perform cluster-reset while server URL is set" in refused.stderr
        shutil.rmtree(server.server_dir / "db")
        server.start("server")
        server.logs("k3s is up and running", times=2)
    cluster = Cluster(others[1])
    cluster.wait_ready("s1", "s2", "s3")
    assert maps(cluster) == {"before"}
    agent.start("agent")
    agent.logs("Node password rejected")
    cluster.core.delete_node("a1")
    agent.logs("is up and running", times=2)
    cluster.close()


def test_plain_reset_makes_the_last_server_the_only_member(machines: Machines) -> None:
    first = etcd_server(machines, "s1", kube_controller_manager_arg=SHORT_LIVED)
    second = etcd_server(machines, "s2", first)
    cluster = Cluster(first)
    make_map(cluster, "kept")
    cluster.close()
    second.kill()
    first.ends("one of two is no majority")
    done = first.run("server", "--cluster-reset")
    assert done.returncode == 0, done.stderr
    first.start("server")
    first.logs("k3s is up and running", times=2)
    cluster = Cluster(first)
    assert maps(cluster) == {"kept"}
    make_map(cluster, "written")
    cluster.close()


def test_restore_on_a_new_machine_keeps_the_identity_and_needs_the_token(machines: Machines, tmp_path: Path) -> None:
    old = etcd_server(machines, "s1")
    cluster = Cluster(old)
    make_map(cluster, "kept")
    cluster.close()
    path = tmp_path / "snapshot"
    shutil.copy(old.server_dir / "db/snapshots" / save(old), path)
    kubeconfig = old.kubeconfig.read_text()
    old.kill()
    new = machines.add("new")
    new.address = old.address
    words = ("server", "--cluster-reset", f"--cluster-reset-restore-path={path}")
    new.configure(node_name="s1", bind_address=new.address, cluster_init=True, token="another")
    wrong = new.run(*words)
    assert wrong.returncode == 1
    assert "bootstrap data already found and encrypted with different token" in wrong.stderr
    new.configure(node_name="s1", bind_address=new.address, cluster_init=True)
    assert "--cluster-reset required" in new.run("server", f"--cluster-reset-restore-path={path}").stderr
    done = new.run(*words, "--token", TOKEN)
    assert done.returncode == 0, done.stderr
    new.start("server")
    new.up()
    new.kubeconfig.write_text(kubeconfig)
    cluster = Cluster(new)
    assert maps(cluster) == {"kept"}, "the kubeconfig of before is good"
    cluster.wait_ready("s1")
    cluster.close()
    missing = new.run("server", "--cluster-reset", "--cluster-reset-restore-path=/no/such/file")
    assert missing.returncode == 1


def test_cas_that_lie_there_before_the_first_start_are_used(machines: Machines) -> None:
    names = ("server-ca", "client-ca", "request-header-ca", "etcd/peer-ca", "etcd/server-ca")
    old = etcd_server(machines, "s1")
    kubeconfig = old.kubeconfig.read_text()
    kept = {f"{name}.{end}": (old.server_dir / f"tls/{name}.{end}").read_bytes()
            for name in names for end in ("crt", "key")}  # fmt: skip
    kept["service.key"] = (old.server_dir / "tls/service.key").read_bytes()
    old.kill()
    new = machines.add("new")
    new.address = old.address
    new.configure(node_name="s1", bind_address=new.address, cluster_init=True)
    for name, data in kept.items():
        path = new.server_dir / "tls" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    new.start("server")
    new.up()
    assert {name: (new.server_dir / "tls" / name).read_bytes() for name in kept} == kept
    new.kubeconfig.write_text(kubeconfig)
    cluster = Cluster(new)
    cluster.wait_ready("s1")
    cluster.close()
