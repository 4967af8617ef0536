"""What the user has not seen go never goes: the plan made under the lock is held against the one that was shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.template import BuildTemplate, PruneTemplates
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.planning.templates.build import BuildOptions
from tests.fakes.specs import cluster
from tests.fakes.world import World, pve_node
from tests.fakes.world.facts import EVERYTHING

SPEC = cluster()
TWO = Scale(counts={PoolName("workers"): 2})


def built(spec: ClusterSpec = SPEC) -> World:
    world = World()
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    world.journal.clear()
    return world


def test_a_machine_that_was_not_shown_to_go_stays_when_the_choice_changes() -> None:
    """The last one was shown; then somebody adds one more, which would go, too."""
    world = built()
    plan = TWO.plan(SPEC, world.ports)
    shown = [machine.spec.name for machine in plan.machines if machine.action == "destroy"]
    assert shown == ["demo-workers-3"]
    other = MachineName("demo-workers-4")
    more = Scale(counts={PoolName("workers"): 4})
    grown = more.plan(SPEC, world.ports)
    more.run(grown, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    world.journal.clear()
    with pytest.raises(HomelabError, match="nothing was removed") as refused:
        TWO.run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert other in refused.value.details
    assert not [call for call in world.journal if call.split()[0] in ("destroy", "stop", "delete", "configure")]
    assert len(world.kube_nodes) == 5


def test_fewer_losses_than_shown_are_no_reason_to_refuse() -> None:
    world = built()
    plan = TWO.plan(SPEC, world.ports)
    TWO.run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    TWO.run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert sorted(world.kube_nodes) == ["demo-cp-1", "demo-workers-1", "demo-workers-2"]


def test_a_template_that_was_not_shown_to_go_stays() -> None:
    """Two are shown; then a third is superseded by a build that ends while the question waits."""
    world = World()
    world.pve_nodes = [replace(pve_node("pve1"), storages=(EVERYTHING,))]
    verb_options = BuildOptions(again=True)

    def build() -> None:
        plan = BuildTemplate(verb_options).plan(SPEC, world.ports)
        BuildTemplate(verb_options).run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())

    for _ in range(3):
        build()
    before = sorted(world.vms)
    shown = PruneTemplates().plan(SPEC, world.ports)
    build()
    with pytest.raises(HomelabError, match="nothing was removed") as refused:
        PruneTemplates().run(shown, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert world.vms[before[2]].name in refused.value.details
    assert set(before) < set(world.vms)
