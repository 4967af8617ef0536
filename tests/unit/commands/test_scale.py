"""What `scale` asks for: no k3s release where no machine is installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.scale import ScaleOptions, prepare_scale, run_scale
from bootstrap.commands.up import prepare_up, run_up
from bootstrap.errors import PreflightError
from bootstrap.model.ids import PoolName
from tests.fakes.specs import cluster
from tests.fakes.world import World
from tests.fakes.world.facts import VERSION

SPEC = cluster()
SPEC = replace(SPEC, k3s=replace(SPEC.k3s, artifacts=Path("/releases")))


def to(count: int) -> ScaleOptions:
    return ScaleOptions(counts={PoolName("workers"): count})


@pytest.fixture
def world() -> World:
    """Three workers, of a release that the artifact directory no longer holds."""
    world = World()
    run_up(prepare_up(SPEC, world.ports), SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    world.gone_releases.add(VERSION)
    return world


def test_nothing_to_do_needs_no_release(world: World) -> None:
    assert prepare_scale(SPEC, world.ports, to(3)).empty


def test_removing_machines_needs_no_release(world: World) -> None:
    plan = prepare_scale(SPEC, world.ports, to(2))
    run_scale(plan, SPEC, world.ports, to(2), sink=lambda _event: None, options=RunOptions())
    assert len(world.kube_nodes) == 3


def test_adding_machines_says_that_the_release_is_missing(world: World) -> None:
    with pytest.raises(PreflightError, match="which the artifact directory does not hold"):
        prepare_scale(SPEC, world.ports, to(4))
