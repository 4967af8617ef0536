"""What `scale` asks for: no k3s release where no machine is installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import PreflightError
from bootstrap.model.ids import PoolName
from tests.fakes.specs import cluster
from tests.fakes.world import World
from tests.fakes.world.facts import VERSION

SPEC = cluster()
SPEC = replace(SPEC, k3s=replace(SPEC.k3s, artifacts=Path("/releases")))


def to(count: int) -> Scale:
    return Scale(counts={PoolName("workers"): count})


@pytest.fixture
def world() -> World:
    """Three workers, of a release that the artifact directory no longer holds."""
    world = World()
    Up().run(Up().plan(SPEC, world.ports), SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    world.gone_releases.add(VERSION)
    return world


def test_nothing_to_do_needs_no_release(world: World) -> None:
    assert to(3).plan(SPEC, world.ports).empty


def test_removing_machines_needs_no_release(world: World) -> None:
    plan = to(2).plan(SPEC, world.ports)
    to(2).run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert len(world.kube_nodes) == 3


def test_adding_machines_says_that_the_release_is_missing(world: World) -> None:
    with pytest.raises(PreflightError, match="which the artifact directory does not hold"):
        to(4).plan(SPEC, world.ports)
