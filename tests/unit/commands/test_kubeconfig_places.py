"""The files that our entries are in are remembered, and what ours are known by, over rebuilds and until `down`."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml

from bootstrap.adapters.kubeconfig.store import FileKubeconfigStore
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.rebuild import Rebuild
from bootstrap.commands.verbs.up import Up
from bootstrap.events import Event, Told
from bootstrap.execution.context import KubeconfigTarget
from bootstrap.execution.handlers.cluster.kubeconfig import merge_entries
from bootstrap.k3s.kubeconfig.build import build_kubeconfig
from bootstrap.k3s.kubeconfig.entries import marks_of
from bootstrap.model.cluster import VipSpec
from bootstrap.ports import Ports
from bootstrap.records.state.kubeconfigs import parse_marks
from bootstrap.records.state.state_items import KUBECONFIG_MARKS
from tests.fakes.certificates import k3s_yaml
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import World

FOREIGN = """\
current-context: demo
clusters: [{name: demo, cluster: {server: 'https://theirs'}}]
users: [{name: demo, user: {token: theirs}}]
contexts: [{name: demo, context: {cluster: demo, user: demo}}]
"""


def ours(address: str) -> str:
    return build_kubeconfig(k3s_yaml(), name="demo", server_url=f"https://{address}:6443", source="demo-cp-1")


def servers(path: Path) -> list[str]:
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    return [entry["cluster"]["server"] for entry in config["clusters"]]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def ports(world: World, tmp_path: Path) -> Ports:
    return replace(world.ports, kubeconfigs=FileKubeconfigStore({}, tmp_path))


def up(ports: Ports, target: KubeconfigTarget | None = None) -> list[str]:
    told: list[Event] = []
    options = RunOptions(kubeconfig=target or KubeconfigTarget())
    Up().run(Up().plan(cluster(), ports), cluster(), ports, sink=told.append, options=options)
    return [event.message for event in told if isinstance(event, Told)]


def down(ports: Ports) -> list[str]:
    told: list[Event] = []
    Down().run(Down().plan(cluster(), ports), cluster(), ports, sink=told.append, options=RunOptions())
    return [event.message for event in told if isinstance(event, Told)]


def test_up_and_down_beside_an_entry_of_the_clusters_name(ports: Ports, tmp_path: Path) -> None:
    path = tmp_path / ".kube" / "config"
    path.parent.mkdir()
    path.write_text(FOREIGN)
    path.chmod(0o600)
    assert f"demo in {path} belongs to another cluster; the new entry is called homelab-demo" in up(ports)
    assert [entry["name"] for entry in yaml.safe_load(path.read_text())["contexts"]] == ["demo", "homelab-demo"]
    assert f"the entry demo in {path} is kept: its CA or server belongs to another cluster" in down(ports)
    assert yaml.safe_load(path.read_text()) == yaml.safe_load(FOREIGN)


def test_a_file_that_ours_were_merged_into_before_is_renewed_with_the_next_one(ports: Ports, tmp_path: Path) -> None:
    """`rebuild` on DHCP wrote the new address into the default file alone."""
    once, usual = tmp_path / "once", tmp_path / ".kube" / "config"
    merge_entries(ours("192.0.2.10"), DEMO, ports, target=KubeconfigTarget(path=once))
    merge_entries(ours("192.0.2.11"), DEMO, ports, target=KubeconfigTarget())
    assert servers(once) == servers(usual) == ["https://192.0.2.11:6443"]
    once.write_text("a: [")
    (note,) = merge_entries(ours("192.0.2.12"), DEMO, ports, target=KubeconfigTarget()).notes
    assert note == f"its entries of this cluster were not updated: {once} is not a kubeconfig"
    once.unlink()
    assert merge_entries(ours("192.0.2.13"), DEMO, ports, target=KubeconfigTarget()).notes == ()
    assert not once.exists()


def test_down_takes_ours_out_of_every_file(ports: Ports, tmp_path: Path) -> None:
    once = tmp_path / "once"
    up(ports, KubeconfigTarget(path=once))
    merge_entries(ports.state.read(DEMO, "kubeconfig") or "", DEMO, ports, target=KubeconfigTarget())
    down(ports)
    assert servers(once) == servers(tmp_path / ".kube" / "config") == []


def test_what_ours_were_known_by_outlives_a_rebuild_with_other_cas(world: World) -> None:
    """The state directory forgets the old kubeconfig then; an earlier release has noted nothing."""
    up(world.ports)
    before = marks_of(world.state[DEMO, "kubeconfig"])
    del world.state[DEMO, KUBECONFIG_MARKS]

    def look(call: str) -> None:
        if call.startswith("clone"):
            seen.append(parse_marks(world.state.get((DEMO, KUBECONFIG_MARKS))))

    seen: list[frozenset[str]] = []
    world.on_call = look
    verb_options = Rebuild()
    plan = verb_options.plan(cluster(), world.ports)
    verb_options.run(plan, cluster(), world.ports, sink=lambda _event: None, options=RunOptions())
    assert before
    assert seen[0] == before


def test_a_rebuild_that_gets_another_address_renews_the_entry(world: World, ports: Ports, tmp_path: Path) -> None:
    once = tmp_path / "once"
    up(ports, KubeconfigTarget(path=once))
    before = servers(once)
    world.moves = 50
    verb_options = Rebuild(keep_identity=True)
    plan = verb_options.plan(cluster(), ports)
    verb_options.run(plan, cluster(), ports, sink=lambda _event: None, options=RunOptions())
    assert servers(once) == servers(tmp_path / ".kube" / "config")
    assert len(servers(once)) == 1
    assert servers(once) != before


def test_a_rebuild_that_keeps_the_identity_says_that_dhcp_may_not(world: World) -> None:
    """The old address in kubeconfigs died without a word."""
    up(world.ports)

    def notes(verb_options: Rebuild, *, vip: bool = False) -> list[str]:
        spec = replace(cluster(), vip=VipSpec(address=IPv4Address("192.0.2.250")) if vip else None)
        return [note for note in verb_options.plan(spec, world.ports).notes if "DHCP" in note]

    (note,) = notes(Rebuild(keep_identity=True))
    assert note.startswith("kubeconfigs name https://192.0.2.10:6443, which comes from DHCP and may change")
    assert "`control_plane.vip` or `control_plane.api_name`" in note
    assert notes(Rebuild()) == []
    assert notes(Rebuild(keep_identity=True), vip=True) == []
