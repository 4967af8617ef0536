"""Each record is read as earlier releases wrote it. The texts are what their own code has written."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bootstrap.errors import HomelabError, UnreadableError
from bootstrap.model.cluster import KeptMachine
from bootstrap.model.ids import ClusterName, MachineName, PoolName, Vmid
from bootstrap.model.machine import MachineRecord, RecordState, Replaced, Role
from bootstrap.records.snapshot_note import SnapshotNote, parse_note
from bootstrap.records.state.host_key import parse_host_key, render_host_key
from bootstrap.records.state.identity import Identity, parse_identity
from bootstrap.records.state.intention import Intention, parse_intention
from bootstrap.records.state.kubeconfigs import parse_marks, parse_paths, render_marks, render_paths
from bootstrap.records.state.rebuild_note import PoolSize, RebuildNote, Stage, parse_rebuild
from bootstrap.records.state.token_history import OldToken, parse_old_tokens, render_old_tokens
from bootstrap.records.vms.lock import MARK as LOCK_MARK
from bootstrap.records.vms.lock import LockRecord, doubt_about_lock, parse_lock
from bootstrap.records.vms.machine import MARK, read_record
from bootstrap.records.vms.seal import Bearer, RecordKey, RecordKind, is_sealed, parse_record_key, render_record_key
from bootstrap.records.vms.template import BuildState, TemplateRecord, doubt_about_template, parse_template

KEY = RecordKey(bytes(range(32)))
UUID = "0b8f2c1a-7d1e-4a4c-9d7e-5a3c2b1d0e9f"
DEMO = ClusterName("demo")

UNSIGNED_MACHINE = """\
k3s machine of the cluster demo, kept by homelab-k8s. Without the next line it is no longer ours.
homelab-k8s-record: {"format":1,"cluster":"demo","machine":"demo-cp-1","role":"control-plane",\
"pool":"control-plane","vmid":7001,"state":"made","address":"192.168.1.51"}"""

SIGNED_MACHINE = """\
k3s machine of the cluster demo, kept by homelab-k8s. Without the next line it is no longer ours.
homelab-k8s-record: {"format":1,"cluster":"demo","machine":"demo-workers-2","role":"worker","pool":"workers",\
"vmid":7005,"state":"made","replaces":[{"machine":"demo-workers-1","vmid":7004}],\
"seal":"af1704a22ae956e2407420e671e68444b1fbcc03c4513d9471eb30e39ebc1d33"}"""

UNSIGNED_TEMPLATE = """\
Template of homelab-k8s: debian-13 with k3s v1.34.1+k3s1. Without the next line it is no longer kept by it.
homelab-k8s-template: {"format":1,"recipe":"5d41402a","image":"debian-13","k3s":"v1.34.1+k3s1","state":"sealed",\
"vmid":7990,"key":"0123456789abcdef","made":1763000000}"""

SIGNED_TEMPLATE = """\
Template of homelab-k8s: debian-13 with k3s v1.34.1+k3s1. Without the next line it is no longer kept by it.
homelab-k8s-template: {"format":1,"recipe":"5d41402a","image":"debian-13","k3s":"v1.34.1+k3s1","state":"sealed",\
"vmid":7990,"key":"0123456789abcdef","made":1763000000,"version":2,\
"seal":"a792e8e7045bf3c0240a986108f71042820c2dfdc2a14dca1b1e7a3ca9a2453b"}"""

UNSIGNED_LOCK = """\
Held while homelab-k8s works on the cluster demo. No machine: never started, removed when the work is done.
homelab-k8s-lock: {"format":1,"cluster":"demo","who":"me@laptop","pid":4711,"process":"boot/123","run":"r1",\
"command":"up","since":"2025-03-01 12:00:00 UTC","beat":7}"""

SIGNED_LOCK = UNSIGNED_LOCK.replace(
    '"beat":7}', '"beat":7,"seal":"31bdd3eb85b9cf289aecdc013a67e26fccbadae9eb7c3155245ff5360a2c099d"}'
)

SNAPSHOT = f"""\
{{
  "format": 1,
  "name": "on-demand-demo-cp-1-1740830400",
  "cluster": "demo",
  "server": "demo-cp-1",
  "k3s_version": "v1.34.1+k3s1",
  "made_s": 1740830400,
  "size": 2891776,
  "sha256": "{"ab" * 32}",
  "ca": "{"cd" * 32}"
}}
"""

REBUILD = """{"format": 1, "stage": "down", "version": "v1.34.1+k3s1", "pools": [{"pool": "workers", "count": 2, \
"cores": 2, "memory_mib": 2048, "disk_gib": 20}], "kept": [{"name": "demo-cp-1", "pool": "control-plane", \
"mac": "BC:24:11:00:00:01", "address": "192.168.1.51"}], "snapshot": null}"""

INTENTION = """{"format": 1, "command": "scale", "again": "scale workers 1", "since": "2025-03-01 12:00:00 UTC", \
"counts": {"workers": 1}, "machines": {"demo-workers-2": "0b8f2c1a-7d1e-4a4c-9d7e-5a3c2b1d0e9f"}, "version": ""}"""


def test_a_machine_of_before_signatures_is_read_and_has_none() -> None:
    assert read_record(UNSIGNED_MACHINE) == MachineRecord(
        cluster=DEMO,
        machine=MachineName("demo-cp-1"),
        role=Role.CONTROL_PLANE,
        pool=PoolName("control-plane"),
        vmid=Vmid(7001),
        state=RecordState.MADE,
        address=IPv4Address("192.168.1.51"),
    )
    assert not is_sealed(UNSIGNED_MACHINE, mark=MARK)


def test_a_machines_signature_of_an_earlier_release_still_fits() -> None:
    bearer = Bearer(vmid=7005, name="demo-workers-2", identity=UUID)
    record = read_record(SIGNED_MACHINE)
    assert record is not None
    assert record.replaces == (Replaced(machine=MachineName("demo-workers-1"), vmid=Vmid(7004)),)
    assert KEY.fits(RecordKind.MACHINE, SIGNED_MACHINE, mark=MARK, bearer=bearer)
    assert not KEY.fits(RecordKind.MACHINE, SIGNED_MACHINE.replace("7004", "7003"), mark=MARK, bearer=bearer)


def test_a_template_without_a_recipe_version_is_of_the_first() -> None:
    wanted = TemplateRecord(
        recipe="5d41402a",
        image="debian-13",
        k3s="v1.34.1+k3s1",
        state=BuildState.SEALED,
        vmid=Vmid(7990),
        key="0123456789abcdef",
        made=1763000000,
        version=1,
        packages=(),
    )
    assert parse_template(UNSIGNED_TEMPLATE, vmid=7990) == wanted


def test_a_templates_signature_of_an_earlier_release_still_fits() -> None:
    bearer = Bearer(vmid=7990, name="hk8s-debian-13-5d41402a", identity=UUID)
    assert parse_template(SIGNED_TEMPLATE, vmid=7990) is not None
    assert doubt_about_template(SIGNED_TEMPLATE, bearer=bearer, keys=(KEY,)) == ""
    assert doubt_about_template(UNSIGNED_TEMPLATE, bearer=bearer, keys=(KEY,)) == "its record has no signature"


def test_a_lock_of_an_earlier_release_names_its_holder() -> None:
    bearer = Bearer(vmid=7999, name="demo-lock", identity=UUID)
    wanted = LockRecord(
        cluster=DEMO,
        who="me@laptop",
        pid=4711,
        process="boot/123",
        run="r1",
        command="up",
        since="2025-03-01 12:00:00 UTC",
        beat=7,
    )
    assert parse_lock(UNSIGNED_LOCK) == parse_lock(SIGNED_LOCK) == wanted
    assert doubt_about_lock(SIGNED_LOCK, bearer=bearer, drives=(), keys=lambda _cluster: (KEY,)) == ""
    assert not is_sealed(UNSIGNED_LOCK, mark=LOCK_MARK)


def test_the_note_beside_a_snapshot() -> None:
    assert parse_note(SNAPSHOT) == SnapshotNote(
        name="on-demand-demo-cp-1-1740830400",
        cluster="demo",
        server="demo-cp-1",
        k3s_version="v1.34.1+k3s1",
        made_s=1740830400,
        size=2891776,
        sha256="ab" * 32,
        ca="cd" * 32,
    )


def test_the_note_of_a_rebuild() -> None:
    assert parse_rebuild(REBUILD) == RebuildNote(
        stage=Stage.TEARING_DOWN,
        version="v1.34.1+k3s1",
        pools=(PoolSize(pool=PoolName("workers"), count=2, cores=2, memory_mib=2048, disk_gib=20),),
        kept=(
            KeptMachine(
                name=MachineName("demo-cp-1"),
                pool=PoolName("control-plane"),
                mac="BC:24:11:00:00:01",
                address=IPv4Address("192.168.1.51"),
            ),
        ),
    )


def test_the_note_of_a_command() -> None:
    assert parse_intention(INTENTION) == Intention(
        command="scale",
        again="scale workers 1",
        since="2025-03-01 12:00:00 UTC",
        counts=((PoolName("workers"), 1),),
        machines=((MachineName("demo-workers-2"), UUID),),
    )


def test_an_identity() -> None:
    assert parse_identity('{"format": 1, "token": "s3cret", "tls": "AAAA"}') == Identity(token="s3cret", tls="AAAA")


def test_a_token_history_without_a_head() -> None:
    old = (OldToken(until_s=1740830400, token="old"),)
    assert parse_old_tokens("1740830400 old\n") == old
    assert render_old_tokens(old) == "# format 1\n1740830400 old\n"


def test_one_kubeconfig_file_or_several_without_a_head() -> None:
    assert parse_paths("/home/me/.kube/config") == (Path("/home/me/.kube/config"),)
    two = (Path("/home/me/.kube/config"), Path("/srv/kubeconfig"))
    assert parse_paths("/home/me/.kube/config\n/srv/kubeconfig") == two
    assert parse_paths(render_paths(two)) == two
    assert parse_paths(None) == parse_paths("") == ()


def test_kubeconfig_marks_without_a_head() -> None:
    marks = frozenset({f"ca:{'0a' * 32}", f"at:{'1b' * 32}"})
    assert parse_marks("\n".join(sorted(marks))) == marks == parse_marks(render_marks(marks))


def test_a_host_key_and_the_empty_file_of_before() -> None:
    assert parse_host_key("demo-cp-1 ssh-ed25519 AAAA\n") == "ssh-ed25519 AAAA"
    assert render_host_key(MachineName("demo-cp-1"), "ssh-ed25519 AAAA") == "demo-cp-1 ssh-ed25519 AAAA\n"
    assert parse_host_key("") is None


def test_a_record_key_with_and_without_a_newline() -> None:
    assert parse_record_key(bytes(range(32)).hex()) == KEY == parse_record_key(render_record_key(KEY))
    assert parse_record_key("00" * 31) is None


def test_what_a_newer_release_wrote_is_not_guessed_at() -> None:
    newer = "# format 2\n1740830400 old\n"
    for parse in (parse_old_tokens, parse_marks, parse_paths):
        with pytest.raises(UnreadableError) as failure:
            parse(newer)
        assert failure.value.resolution == "use the release of homelab-k8s that wrote it, or a newer one"
    for text in (UNSIGNED_MACHINE, SIGNED_MACHINE):
        with pytest.raises(UnreadableError):
            read_record(text.replace('"format":1', '"format":2'))
    assert parse_template(SIGNED_TEMPLATE.replace('"format":1', '"format":2'), vmid=7990) is None
    assert parse_lock(SIGNED_LOCK.replace('"format":1', '"format":2')) is None
    assert parse_note(SNAPSHOT.replace('"format": 1', '"format": 2')) is None
    assert parse_intention(INTENTION.replace('"format": 1', '"format": 2')) is None
    with pytest.raises(HomelabError, match="cannot be read"):
        parse_rebuild(REBUILD.replace('"format": 1', '"format": 2'))
