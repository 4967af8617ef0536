"""A server of the cluster that tells what it should not: nothing of it reaches this computer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import yaml

from bootstrap.commands.access.kubeconfig import merge_kubeconfig, needed_kubeconfig
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.snapshots import list_snapshots
from bootstrap.commands.verbs.backup import Backup
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError, KubernetesError, PreflightError
from bootstrap.execution.context import KubeconfigTarget
from bootstrap.model.cluster import BackupSpec, S3Spec, VipSpec
from bootstrap.records.state.state_items import TOKEN
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import World
from tests.fakes.world.datastore import TAKEN_S

EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", "id > /tmp/owned"]}


def poisoned(text: str) -> str:
    config = yaml.safe_load(text)
    config["users"][0]["user"]["exec"] = EXEC
    return yaml.safe_dump(config)


def up(world: World) -> None:
    spec = cluster()
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())


def test_a_program_in_a_servers_kubeconfig_is_neither_kept_nor_merged() -> None:
    world = World(lies={"read-kubeconfig.sh": poisoned})
    with pytest.raises(HomelabError) as raised:
        up(world)
    assert "users: unexpected key 'exec'" in str(raised.value)
    assert world.kubeconfigs == {}
    assert (DEMO, "kubeconfig") not in world.state


def test_one_that_an_earlier_release_has_kept_is_refused_and_up_fetches_it_anew() -> None:
    world = World()
    up(world)
    good = world.state[DEMO, "kubeconfig"]
    world.state[DEMO, "kubeconfig"] = poisoned(good)
    world.kubeconfigs.clear()
    for use in (
        lambda: merge_kubeconfig(DEMO, world.ports, KubeconfigTarget()),
        lambda: needed_kubeconfig(DEMO, world.ports),
    ):
        with pytest.raises(KubernetesError, match="state directory cannot be used") as raised:
            use()
        assert "homelab-k8s up" in raised.value.resolution
    assert world.kubeconfigs == {}
    up(world)
    assert world.state[DEMO, "kubeconfig"] == good
    assert world.kubeconfigs[DEMO] == good


def backup(world: World, to: Path) -> None:
    spec, verb_options = cluster(), Backup(to=to)
    plan = verb_options.plan(spec, world.ports)
    verb_options.run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())


def telling(key: str, value: str) -> Callable[[str], str]:
    """snapshot.sh's answer with another value."""
    return lambda answer: re.sub(rf"^{key}=.*$", lambda _: f"{key}={value}", answer, flags=re.MULTILINE)


NAME = f"manual-demo-cp-1-{TAKEN_S}.sqlite"


ODD_NAMES = (
    "{home}/.bashrc", "../.bashrc", ".bashrc", "..", "", f"{NAME}/../../.bashrc", f"{NAME}\x1b[2J", f"x-{NAME}",
    "manual-demo-cp-2-1740830400", "manual-demo-cp-1-٣٣٣٣٣٣٣٣٣٣", f"{NAME}.exe", "manual-demo-cp-1-" + "1" * 300,
)  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_a_name_that_a_server_tells_replaces_no_file_here(name: str, tmp_path: Path) -> None:
    world, home = World(), tmp_path / "home"
    home.mkdir()
    (home / ".bashrc").write_text("mine")
    up(world)
    world.lies["snapshot.sh"] = telling("name", name.format(home=home))
    with pytest.raises(HomelabError) as raised:
        backup(world, home / "snapshots")
    assert "did not report its snapshot" in str(raised.value)
    assert [path.name for path in home.iterdir()] == [".bashrc"]
    assert (home / ".bashrc").read_text() == "mine"


@pytest.mark.parametrize("ending", ["", ".json", ".token"])
@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_what_is_in_a_snapshots_way_is_left_alone(kind: str, ending: str, tmp_path: Path) -> None:
    world, victim, to = World(), tmp_path / "victim", tmp_path / "snapshots"
    victim.write_text("mine")
    to.mkdir()
    path = to / f"{NAME}{ending}"
    if kind == "file":
        path.write_text("mine")
    elif kind == "link":
        path.symlink_to(victim)
    else:
        path.mkdir()
    up(world)
    with pytest.raises(HomelabError) as raised:
        backup(world, to)
    assert f"{path} has the name of the snapshot" in str(raised.value)
    assert victim.read_text() == "mine"
    assert list(to.iterdir()) == [path]
    assert kind != "file" or path.read_text() == "mine"


def test_one_of_ours_is_replaced(tmp_path: Path) -> None:
    world = World()
    up(world)
    backup(world, tmp_path)
    (tmp_path / NAME).write_text("half of")
    world.datastore.taken.clear()  # the next one gets the same name
    backup(world, tmp_path)
    assert (tmp_path / NAME).read_text() == f"data of {NAME}"


def test_a_snapshot_that_is_not_what_the_server_told_is_not_kept(tmp_path: Path) -> None:
    world = World()
    up(world)
    world.lies["snapshot.sh"] = telling("sha256", "0" * 64)
    with pytest.raises(HomelabError) as raised:
        backup(world, tmp_path)
    assert "differs from what the server took" in str(raised.value)
    assert not (tmp_path / NAME).exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("key", "value"), [("sha256", "x"), ("time", "1e999"), ("size", "-5"), ("size", "9" * 5000), ("version", "v1;id")]
)
def test_what_a_server_tells_of_a_snapshot_has_its_form(key: str, value: str, tmp_path: Path) -> None:
    world = World()
    up(world)
    world.lies["snapshot.sh"] = telling(key, value)
    with pytest.raises(HomelabError) as raised:
        backup(world, tmp_path)
    assert f"{key} '{value[:20]}" in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_odd_names_on_a_servers_disk_are_passed_over_and_told(tmp_path: Path) -> None:
    world = World()
    up(world)
    odd = ["1 2 ../../x", "1 2 a b", "x y z", "", "1 99999999999999999999 a", "1 2 \x1b[2J", "1 2 -rf"]
    world.lies["list-snapshots.sh"] = lambda _: "".join(f"snapshot={line}\n" for line in [*odd, "7 1740830400 good"])
    listed = list_snapshots(cluster(), world.ports, directory=tmp_path)
    assert [each.name for each in listed.snapshots] == ["good"]
    assert listed.problems == ()
    assert "7 files among the snapshots of demo-cp-1 ignored" in listed.notes[0]


EVIL = "x'\nLD_PRELOAD='/tmp/evil.so"


def test_a_token_that_a_server_tells_puts_nothing_but_a_token_into_a_new_workers_unit() -> None:
    world = World()
    up(world)
    before = sorted(world.vms)
    world.lies["read-token.sh"] = lambda token: f"{token.strip()}'\nLD_PRELOAD='/tmp/evil.so\n"
    spec = cluster(1, 4)
    with pytest.raises(HomelabError) as raised:
        Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    assert "the cluster's token is malformed" in str(raised.value)
    assert "LD_PRELOAD" not in f"{raised.value} {raised.value.details} {world.state}"
    made = [vm for vmid, vm in world.vms.items() if vmid not in before]
    assert [vm.name for vm in made] == ["demo-workers-4"]
    assert "service.env" not in made[0].files


def test_one_that_an_earlier_release_has_kept_is_not_used() -> None:
    world = World()
    world.state[DEMO, TOKEN] = EVIL
    with pytest.raises(HomelabError):
        up(world)
    assert not [vm.name for vm in world.vms.values() if "service.env" in vm.files]


def test_the_interface_that_a_server_tells_is_the_name_of_one() -> None:
    spec = replace(cluster(), vip=VipSpec(address=IPv4Address("192.0.2.240")))
    world = World()
    world.lies["vip-state.sh"] = lambda text: text.replace("interface=eth0", "interface=eth0 } vrrp_script x { script")
    with pytest.raises(HomelabError) as raised:
        Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    assert "reports no interface with its address" in str(raised.value)
    assert not [vm.name for vm in world.vms.values() if "keepalived.conf" in vm.files]


@pytest.mark.parametrize("key", ["a\nb", "a b", "a'b", 'a"b', "a`b", "a\\b", "ä"])
def test_a_buckets_keys_are_keys_by_their_form(key: str) -> None:
    s3 = S3Spec(endpoint="minio:9000", bucket="snaps", access_key="AK/+=", secret_key=key)
    with pytest.raises(PreflightError, match="keys of the bucket snaps are malformed"):
        Up().plan(replace(cluster(3), backup=BackupSpec(s3=s3)), World().ports)
