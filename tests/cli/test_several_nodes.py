"""Several Proxmox nodes at the command line: `rebalance`, and `up` that asks before it builds templates."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bootstrap.model.ids import PveNodeName, Vmid
from tests.cli.conftest import Run
from tests.fakes.world import TEMPLATE, World, pve_node
from tests.fakes.world.facts import EVERYTHING

DEMO = ("--cluster", "demo")


@pytest.fixture
def second(world: World) -> World:
    """A second Proxmox node, with the template."""
    world.pve_nodes.append(pve_node("pve2"))
    world.templates.append(replace(TEMPLATE, pve_node=PveNodeName("pve2"), vmid=Vmid(9001)))
    return world


def test_what_is_spread_needs_no_rebalance(run: Run, second: World) -> None:
    assert run("up", *DEMO, "--workers", "3").exit_code == 0
    result = run("rebalance", *DEMO, "--dry-run")
    assert (result.exit_code, result.stdout) == (0, "the machines are spread evenly; nothing to move\n")


def test_moves_are_shown_with_the_commands_that_make_them(run: Run, world: World) -> None:
    assert run("up", *DEMO, "--workers", "4").exit_code == 0
    world.pve_nodes.append(pve_node("pve2"))
    world.templates.append(replace(TEMPLATE, pve_node=PveNodeName("pve2"), vmid=Vmid(9001)))
    world.journal.clear()
    result = run("rebalance", *DEMO)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["MACHINE", "ROLE", "FROM", "TO", "WHY"]
    assert lines[1].startswith("demo-workers-4  worker  pve1  pve2  pve2 has 31.0 GiB free, pve1 ")
    assert lines[-1] == "next: homelab-k8s replace --cluster demo demo-workers-4 demo-workers-3"
    told = json.loads(run("rebalance", *DEMO, "-o", "json").stdout)
    assert list(told) == ["format", "moves", "commands", "notes"]
    assert [(move["machine"], move["from"], move["to"]) for move in told["moves"]] == [
        ("demo-workers-4", "pve1", "pve2"),
        ("demo-workers-3", "pve1", "pve2"),
    ]
    assert world.journal == []


def test_up_asks_before_it_builds_a_template(run: Run, world: World) -> None:
    world.templates = []
    world.pve_nodes = [replace(pve_node(), storages=(EVERYTHING,))]
    refused = run("up", *DEMO, "--workers", "1")
    assert refused.exit_code == 2
    assert "First a template is built on pve1 from debian-13 with k3s v1.33.3+k3s1" in refused.stderr
    assert "--template-build never" in refused.stderr
    assert world.journal == []
    never = run("up", *DEMO, "--workers", "1", "--template-build", "never")
    assert never.exit_code == 4
    assert "no template found" in never.stderr
    plan = run("up", *DEMO, "--workers", "1", "--dry-run").stdout
    assert plan.index("template-pve1") < plan.index("and then") < plan.index("clone the new template to 7000 on pve1")
    assert plan.count("MACHINE ") == 1
    done = run("up", *DEMO, "--workers", "1", "--yes")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("demo: 2 machines, all Ready, in ")
    again = run("up", *DEMO, "--workers", "1")
    assert (again.exit_code, again.stdout.splitlines()[0]) == (0, "demo: 2 machines, all Ready; nothing to do")
