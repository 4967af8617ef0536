"""The scripts about snapshots run for real, with a `k3s` that answers as k3s 1.36.3 was seen to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bootstrap.execution.guests.scripts import parse_lines
from bootstrap.k3s.snapshot_files import parse_listing
from tests.adapters.test_guest_scripts import Machine, needs_root

pytestmark = needs_root

SNAPSHOTS = "/var/lib/rancher/k3s/server/db/snapshots"
SETTINGS = "/etc/rancher/k3s/config.yaml"
BUCKET = """node-name: demo-cp-1
etcd-s3: true
etcd-s3-bucket: saved
etcd-s3-folder: demo
etcd-s3-secret-key: SK
"""
K3S = """#!/bin/sh
# Stands in for k3s. Which settings count is told by --config and --etcd-s3; what the bucket does by the file BUCKET.
[ "$1" != --version ] || { echo "k3s version v1.36.3+k3s1 (66a14f0e)"; exit 0; }
verb=$2 name='' config=/etc/rancher/k3s/config.yaml s3='' names=''
echo "$*" >>"$CALLS"
shift 2
while [ $# -gt 0 ]; do
    case $1 in
        --name) name=$2; shift ;;
        --config) config=$2; shift ;;
        --etcd-s3=false) s3=no ;;
        -o) shift ;;
        *) names="$names $1" ;;
    esac
    shift
done
cat "$config" "$config.d"/* >>"$CALLS.settings" 2>/dev/null
[ "$s3" = no ] || ! grep -q '^etcd-s3: true' "$config" || s3=$(cat "$BUCKET_IS")
said() { echo "time=\\"2026-11-28T19:52:31Z\\" level=$1 msg=\\"$2\\"" >&2; }
said warning "Unknown flag --node-ip found in config.yaml, skipping\\\\n"
case $s3 in
    dead)
        said fatal "Error: see server log for details: failed to initialize S3 client: bucket saved does not exist"
        exit 1
        ;;
    silent) sleep 5 ;;
esac
folder=/var/lib/rancher/k3s/server/db/snapshots
case $verb in
    save)
        file=$name-demo-cp-1-$(date +%s)
        mkdir -p "$folder"
        echo data >"$folder/$file"
        said info "Snapshot $file saved."
        [ "$s3" != good ] || said info "Snapshot $file saved."
        [ "$s3" != old ] || said error "Error received during snapshot upload to S3: Access Denied."
        ;;
    delete) for each in $names; do rm -f "$folder/$each"; done ;;
    ls) cat "$LISTING" ;;
esac
"""


@pytest.fixture
def server(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.put_file("/usr/local/bin/k3s", K3S)
    machine.path("/usr/local/bin/k3s").chmod(0o755)
    machine.put_file("/var/lib/rancher/k3s/server/tls/server-ca.crt", "CA")
    machine.path("/var/lib/rancher/k3s/server/db/etcd").mkdir(parents=True)
    machine.put_file(SETTINGS, BUCKET + "etcd-s3-retention: 15\n")
    return machine


def take(
    server: Machine, bucket: str, *, is_: str, sent: bool = True, check: bool = True
) -> dict[str, list[str]] | str:
    """Take one; what was printed, or what was said where it failed."""
    (server.system / "bucket").write_text(is_)
    done = server.run(
        "snapshot.sh",
        files=[("snapshot.yaml", BUCKET)] if sent else [],
        check=check,
        BUCKET_IS=str(server.system / "bucket"),
        NAME="manual",
        NODE="demo-cp-1",
        FETCH="0",
        BUCKET=bucket,
    )
    assert not (server.beside / "snapshot.yaml").exists(), "the keys stay nowhere"
    assert not (server.beside / "snapshot.yaml.d").exists()
    return parse_lines(done.stdout) if done.returncode == 0 else done.stderr


def settings(server: Machine) -> str:
    return server.calls.with_name("calls.settings").read_text()


@pytest.mark.parametrize("sent", [True, False])
def test_one_for_the_bucket_is_in_it_when_k3s_says_saved_twice(server: Machine, sent: bool) -> None:
    told = take(server, "must", is_="good", sent=sent)
    assert isinstance(told, dict)
    assert told["bucket"] == ["sent"]
    assert told["name"] == [path.name for path in server.path(SNAPSHOTS).iterdir()]
    assert "etcd-s3-retention: 0" in settings(server).splitlines()[-1], "k3s itself would prune by a name alone"


def test_what_a_user_has_in_config_yaml_d_counts_as_well(server: Machine) -> None:
    server.put_file(f"{SETTINGS}.d/ca.yaml", "etcd-s3-endpoint-ca: /etc/ssl/minio.pem\n")
    take(server, "must", is_="good")
    assert "etcd-s3-endpoint-ca" in settings(server)


@pytest.mark.parametrize("wanted", ["must", "try"])
@pytest.mark.parametrize("is_", ["denied", "old"])
def test_a_denied_upload_is_told_though_k3s_exits_with_0(server: Machine, wanted: str, is_: str) -> None:
    told = take(server, wanted, is_=is_)
    assert isinstance(told, dict)
    assert told["bucket"] == ["failed"]
    assert told["bucket_problem"] != [""]
    assert len(list(server.path(SNAPSHOTS).iterdir())) == 1


def test_a_dead_bucket_does_not_keep_a_snapshot_from_the_disk(server: Machine) -> None:
    told = take(server, "try", is_="dead")
    assert isinstance(told, dict)
    assert told["bucket"] == ["failed"]
    assert told["bucket_problem"][0].endswith("failed to initialize S3 client: bucket saved does not exist")
    assert len(list(server.path(SNAPSHOTS).iterdir())) == 1


def test_one_for_a_dead_bucket_fails_with_k3s_reason(server: Machine) -> None:
    said = take(server, "must", is_="dead", check=False)
    assert isinstance(said, str)
    assert "bucket saved does not exist" in said


def test_a_bucket_that_does_not_answer_is_not_waited_for_for_ever(server: Machine) -> None:
    """k3s itself waits 7 minutes. Shortened here by a `timeout` of the test's own."""
    server.put_command("timeout", '#!/bin/sh\nshift\nexec /usr/bin/timeout 0.5 "$@"\n')
    told = take(server, "try", is_="silent")
    assert isinstance(told, dict)
    assert told["bucket_problem"] == ["no answer within 120 s"]
    assert len(list(server.path(SNAPSHOTS).iterdir())) == 1


def test_one_for_the_disk_leaves_the_bucket_of_the_settings_alone(server: Machine) -> None:
    told = take(server, "no", is_="dead", sent=False)
    assert isinstance(told, dict)
    assert told["bucket"] == ["none"]


def test_old_ones_are_removed_by_their_names(server: Machine) -> None:
    (server.system / "bucket").write_text("good")
    for name in ("a-demo-cp-1-1", "b-demo-cp-1-2.sqlite", "c-demo-cp-1-3"):
        server.put_file(f"{SNAPSHOTS}/{name}", "data")
    for bucket, files in (("yes", [("snapshot.yaml", BUCKET)]), ("no", []), ("yes", [])):
        server.run(
            "drop-snapshots.sh",
            files=files,
            BUCKET=bucket,
            NAMES="a-demo-cp-1-1 b-demo-cp-1-2.sqlite",
            BUCKET_IS=str(server.system / "bucket"),
        )
    calls = [line for line in server.calls.read_text().splitlines() if "delete" in line]
    assert calls == [
        "etcd-snapshot delete --config ./snapshot.yaml a-demo-cp-1-1",
        "etcd-snapshot delete --etcd-s3=false a-demo-cp-1-1",
        "etcd-snapshot delete a-demo-cp-1-1",
    ]
    assert [path.name for path in server.path(SNAPSHOTS).iterdir()] == ["c-demo-cp-1-3"]
    assert not (server.beside / "snapshot.yaml").exists()


def test_a_buckets_list_is_k3s_own_and_its_reason_where_there_is_none(server: Machine, tmp_path: Path) -> None:
    listing = tmp_path / "listing"
    spec = {"snapshotName": "x-demo-cp-1-1", "nodeName": "demo-cp-1", "location": "s3://saved/x-demo-cp-1-1"}
    status = {"size": "5", "creationTime": "2025-02-19T21:20:00Z", "readyToUse": True}
    item = {"kind": "ETCDSnapshotFile", "spec": spec, "status": status}
    listing.write_text(json.dumps({"kind": "List", "items": [item, {"kind": "Other"}]}))
    bucket = server.system / "bucket"
    where, is_ = str(listing), str(bucket)
    bucket.write_text("good")
    found = parse_listing(
        server.run("list-bucket.sh", files=[("bucket.yaml", BUCKET)], LISTING=where, BUCKET_IS=is_).stdout
    )
    assert found is not None
    assert [(each.name, each.size, each.problem) for each in found] == [("x-demo-cp-1-1", 5, "")]
    bucket.write_text("dead")
    failed = server.run("list-bucket.sh", files=[("bucket.yaml", BUCKET)], check=False, LISTING=where, BUCKET_IS=is_)
    assert failed.returncode == 1
    assert failed.stderr.strip().endswith("bucket saved does not exist")
    assert not (server.beside / "bucket.yaml").exists()


@pytest.mark.parametrize("text", ["", "no", "[]", '{"kind": "List"}'])
def test_what_an_old_k3s_prints_is_no_list(text: str) -> None:
    assert parse_listing(text) is None
