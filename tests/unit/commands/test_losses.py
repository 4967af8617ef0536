"""What the user has not seen go never goes: the plan made under the lock is held against the one that was shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.scale import ScaleOptions, prepare_scale, run_scale
from bootstrap.commands.template import prepare_build, prepare_prune, run_build, run_prune
from bootstrap.commands.up import prepare_up, run_up
from bootstrap.errors import HomelabError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.planning.templates.build import BuildOptions
from tests.fakes.specs import cluster
from tests.fakes.world import World, pve_node
from tests.fakes.world.facts import EVERYTHING

SPEC = cluster()
TWO = ScaleOptions(counts={PoolName("workers"): 2})


def built(spec: ClusterSpec = SPEC) -> World:
    world = World()
    run_up(prepare_up(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    world.journal.clear()
    return world


def test_a_machine_that_was_not_shown_to_go_stays_when_the_choice_changes() -> None:
    """The last one was shown; then somebody adds one more, which would go, too."""
    world = built()
    plan = prepare_scale(SPEC, world.ports, TWO)
    shown = [machine.spec.name for machine in plan.machines if machine.action == "destroy"]
    assert shown == ["demo-workers-3"]
    other = MachineName("demo-workers-4")
    more = ScaleOptions(counts={PoolName("workers"): 4})
    grown = prepare_scale(SPEC, world.ports, more)
    run_scale(grown, SPEC, world.ports, more, sink=lambda _event: None, options=RunOptions())
    world.journal.clear()
    with pytest.raises(HomelabError, match="nothing was removed") as refused:
        run_scale(plan, SPEC, world.ports, TWO, sink=lambda _event: None, options=RunOptions())
    assert other in refused.value.details
    assert not [call for call in world.journal if call.split()[0] in ("destroy", "stop", "delete", "configure")]
    assert len(world.kube_nodes) == 5


def test_fewer_losses_than_shown_are_no_reason_to_refuse() -> None:
    world = built()
    plan = prepare_scale(SPEC, world.ports, TWO)
    run_scale(plan, SPEC, world.ports, TWO, sink=lambda _event: None, options=RunOptions())
    run_scale(plan, SPEC, world.ports, TWO, sink=lambda _event: None, options=RunOptions())
    assert sorted(world.kube_nodes) == ["demo-cp-1", "demo-workers-1", "demo-workers-2"]


def test_a_template_that_was_not_shown_to_go_stays() -> None:
    """Two are shown; then a third is superseded by a build that ends while the question waits."""
    world = World()
    world.pve_nodes = [replace(pve_node("pve1"), storages=(EVERYTHING,))]
    verb_options = BuildOptions(again=True)

    def build() -> None:
        plan = prepare_build(SPEC, world.ports, verb_options)
        run_build(plan, SPEC, world.ports, verb_options, sink=lambda _event: None, options=RunOptions())

    for _ in range(3):
        build()
    before = sorted(world.vms)
    shown = prepare_prune(SPEC, world.ports)
    build()
    with pytest.raises(HomelabError, match="nothing was removed") as refused:
        run_prune(shown, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert world.vms[before[2]].name in refused.value.details
    assert set(before) < set(world.vms)
