"""`rotate token`: known here before the cluster has it, taken by all machines in turn, continued after any end."""

from __future__ import annotations

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.rotate import RotateToken
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError
from bootstrap.records.state.state_items import AGENT_TOKEN, NEXT_TOKEN, OLD_TOKENS, TOKEN
from bootstrap.records.state.token_history import (
    OldToken,
    parse_old_tokens,
    render_old_tokens,
    short_form,
    token_at,
    with_old_token,
)
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import World
from tests.fakes.world.k3s import environment

THREE = cluster(3, 2)


def built() -> World:
    world = World()
    Up().run(Up().plan(THREE, world.ports), THREE, world.ports, sink=lambda _event: None, options=RunOptions())
    world.journal.clear()
    return world


def rotate(world: World) -> None:
    RotateToken().run(
        RotateToken().plan(THREE, world.ports), THREE, world.ports, sink=lambda _event: None, options=RunOptions()
    )


def token_on(world: World, *, kind: str = "-cp-") -> set[str]:
    """What machines join with: servers, or with `-workers-` agents."""
    texts = [vm.files["service.env"] for vm in world.vms.values() if kind in vm.name]
    return {short_form(environment(text)["K3S_TOKEN"]) for text in texts}


def test_servers_one_by_one_then_agents_run_with_a_new_token() -> None:
    world = built()
    old = short_form(world.state[DEMO, TOKEN])
    rotate(world)
    new = short_form(world.state[DEMO, TOKEN])
    assert new != old
    assert token_on(world) == {new}
    assert token_on(world, kind="-workers-") == {short_form(world.state[DEMO, AGENT_TOKEN])}
    assert [old_token.token for old_token in parse_old_tokens(world.state[DEMO, OLD_TOKENS])] == [old]
    assert world.state[DEMO, NEXT_TOKEN] == ""
    calls = [call for call in world.journal if call.startswith(("rotate", "restart", "save"))]
    servers = ["restart demo-cp-2", "restart demo-cp-3"]
    assert calls[:5] == ["rotate demo-cp-1", "restart demo-cp-1", "save demo-cp-1", *servers]
    assert sorted(calls[5:]) == ["restart demo-workers-1", "restart demo-workers-2"]


def test_the_plan_says_until_when_the_old_token_still_joins_machines() -> None:
    """k3s writes the new one to files; a server that runs goes by what it has read at its start."""
    notes = RotateToken().plan(THREE, built().ports).notes
    assert any("until all servers have restarted, machines can still join with the old token" in note for note in notes)


def test_each_machine_keeps_its_form_of_the_token() -> None:
    world = built()
    before = {vm.name: "K10" in vm.files["service.env"] for vm in world.vms.values()}
    rotate(world)
    assert {vm.name: "K10" in vm.files["service.env"] for vm in world.vms.values()} == before
    assert not before["demo-cp-1"]
    assert before["demo-workers-1"]


@pytest.mark.parametrize("script", ["rotate-token.sh", "renew-token.sh", "start-k3s.sh"])
def test_one_that_was_cut_off_is_finished_with_the_same_token(script: str) -> None:
    world = built()
    old = short_form(world.state[DEMO, TOKEN])
    world.broken_scripts.add(script)
    with pytest.raises(HomelabError):
        rotate(world)
    wanted = world.state[DEMO, NEXT_TOKEN]
    world.broken_scripts.clear()
    assert any("interrupted" in note for note in RotateToken().plan(THREE, world.ports).notes)
    rotate(world)
    assert token_on(world) == {wanted}
    assert short_form(world.state[DEMO, TOKEN]) == wanted
    assert [each.token for each in parse_old_tokens(world.state[DEMO, OLD_TOKENS])] == [old]


def test_a_token_that_the_cluster_took_is_found_on_whichever_server_took_it() -> None:
    """The first server took it and is not Ready now: another one leads, and must not ask for it once more."""
    world = built()
    world.state[DEMO, NEXT_TOKEN] = "wanted"
    cp2 = world.vm_named("demo-cp-2")
    assert cp2 is not None
    cp2.files["token"] = "wanted"
    rotate(world)
    assert not [call for call in world.journal if call.startswith("rotate")]
    assert token_on(world) == {"wanted"}


def test_a_second_rotation_makes_another_token() -> None:
    world = built()
    rotate(world)
    first = world.state[DEMO, TOKEN]
    rotate(world)
    assert world.state[DEMO, TOKEN] != first
    assert len(parse_old_tokens(world.state[DEMO, OLD_TOKENS])) == 2


def test_the_token_is_in_no_plan() -> None:
    world = built()
    world.state[DEMO, NEXT_TOKEN] = "verysecret"
    assert "verysecret" not in repr(RotateToken().plan(THREE, world.ports))


def test_a_snapshots_token_is_the_one_of_its_time() -> None:
    before = with_old_token((), "one", until_s=100)
    before = with_old_token(before, "two", until_s=200)
    assert token_at(50, now="K10ab::server:three", before=before) == "one"
    assert token_at(100, now="K10ab::server:three", before=before) == "two"
    assert token_at(200, now="K10ab::server:three", before=before) == "three"
    assert token_at(None, now="three", before=before) == "three"
    # A run that was killed right there says it again.
    assert with_old_token(before, "two", until_s=300) == before
    assert parse_old_tokens(render_old_tokens(before)) == before == tuple(sorted(before, key=lambda old: old.until_s))
    assert parse_old_tokens("nonsense\n\n5 x\n") == (OldToken(until_s=5, token="x"),)
    assert "one" not in repr(before)
