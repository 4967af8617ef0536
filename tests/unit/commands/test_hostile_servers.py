"""A server of the cluster that tells what it should not: nothing of it reaches this computer."""

from __future__ import annotations

import pytest
import yaml

from bootstrap.commands.kubeconfig import merge_kubeconfig, needed_kubeconfig
from bootstrap.commands.run import RunOptions
from bootstrap.commands.up import prepare_up, run_up
from bootstrap.errors import HomelabError, KubernetesError
from tests.fakes.certificates import k3s_yaml
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import World

EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", "id > /tmp/owned"]}


def poisoned(text: str) -> str:
    config = yaml.safe_load(text)
    config["users"][0]["user"]["exec"] = EXEC
    return yaml.safe_dump(config)


def up(world: World) -> None:
    spec = cluster()
    run_up(prepare_up(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())


def test_a_program_in_a_servers_kubeconfig_is_neither_kept_nor_merged() -> None:
    world = World(k3s_yaml=poisoned(k3s_yaml()))
    with pytest.raises(HomelabError) as raised:
        up(world)
    assert "users: nothing of ours has 'exec'" in str(raised.value)
    assert world.kubeconfigs == {}
    assert (DEMO, "kubeconfig") not in world.state


def test_one_that_an_earlier_release_has_kept_is_refused_and_up_fetches_it_anew() -> None:
    world = World()
    up(world)
    good = world.state[DEMO, "kubeconfig"]
    world.state[DEMO, "kubeconfig"] = poisoned(good)
    world.kubeconfigs.clear()
    for use in (lambda: merge_kubeconfig(DEMO, world.ports, path=None), lambda: needed_kubeconfig(DEMO, world.ports)):
        with pytest.raises(KubernetesError, match="state directory cannot be used") as raised:
            use()
        assert "homelab-k8s up" in raised.value.resolution
    assert world.kubeconfigs == {}
    up(world)
    assert world.state[DEMO, "kubeconfig"] == good
    assert world.kubeconfigs[DEMO] == good
