"""A cluster's address families stay what they are, whichever verb is asked; only `rebuild` begins again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verb import Verb
from bootstrap.commands.verbs.rebuild import Rebuild
from bootstrap.commands.verbs.replace import Replace
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec, NetworkSpec
from bootstrap.model.ids import PoolName
from bootstrap.model.ipv6 import IPv6Spec
from bootstrap.planning.plan import Plan
from bootstrap.planning.verbs.replace import ReplaceOptions
from bootstrap.ports import Ports
from tests.fakes.specs import cluster
from tests.fakes.world import World

WORKERS = PoolName("workers")
BOTH = replace(cluster(agents=1), network=NetworkSpec(ipv6=IPv6Spec()))
Prepare = Callable[[ClusterSpec, Ports], Plan]


@pytest.fixture
def world() -> World:
    """A cluster with IPv4 alone."""
    world, spec = World(), cluster(agents=1)
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    world.journal.clear()
    return world


@pytest.mark.parametrize(
    "verb",
    [
        Up(),
        Scale(counts={WORKERS: 2}),
        Replace(ReplaceOptions(pool=WORKERS)),
        Rebuild(snapshot=Path("/snapshots/one")),
    ],
    ids=["up", "scale", "replace", "rebuild --restore"],
)
def test_no_verb_adds_a_family_to_a_cluster(world: World, verb: Verb) -> None:
    with pytest.raises(PreflightError, match="demo was created for IPv4 alone, but the inventory says IPv6 too"):
        verb.plan(BOTH, world.ports)
    assert world.journal == []


def test_machines_are_waited_for_until_they_have_an_ipv6_address_and_keep_it() -> None:
    world = World()
    plan = Up().plan(BOTH, world.ports)
    Up().run(plan, BOTH, world.ports, sink=lambda _event: None, options=RunOptions())
    own = {vm.name: (str(vm.address), f"fd00::{int(vm.vmid):x}") for vm in world.vms.values()}
    told = {vm.name: yaml.safe_load(vm.files["config.yaml"])["node-ip"] for vm in world.vms.values()}
    assert told == {name: ",".join(pair) for name, pair in own.items()}
    assert sorted(call for call in world.journal if call.startswith("accept-ra")) == [
        f"accept-ra {name} {address6}" for name, (_, address6) in sorted(own.items())
    ]
    assert Up().plan(BOTH, world.ports).empty


def test_rebuild_without_data_does(world: World) -> None:
    assert Rebuild().plan(BOTH, world.ports).follows
