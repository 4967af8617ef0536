"""Host keys that no guest agent tells: the first one is kept, and somebody else who answers is told nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.commands.access.remote_access import login_to, run_everywhere
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import GuestError, HomelabError, HostKeyError, RunFailedError
from bootstrap.events import Event, Warned
from bootstrap.execution.guests.host_keys import fingerprint
from bootstrap.model.cluster import ClusterSpec, HostKeyPolicy, MacPolicy
from bootstrap.model.ids import MachineName, Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import OsTemplate
from bootstrap.ports import GuestShell
from tests.fakes.specs import DEMO, cluster, workers
from tests.fakes.world import PVE1, World, pve_node

BASE = cluster(1, 1)
TRUSTING = replace(BASE, ssh=replace(BASE.ssh, host_keys=HostKeyPolicy.ACCEPT_NEW))
LIGHT = replace(
    BASE,
    workers=(replace(workers(1, name="workers"), kind=MachineKind.LXC),),
    network=replace(BASE.network, macs=MacPolicy.STABLE),
)
OTHER = "ssh-ed25519 AAAAothr"


@pytest.fixture(params=["accept-new", "containers"])
def spec(request: pytest.FixtureRequest) -> ClusterSpec:
    """Two ways not to be told host keys."""
    return TRUSTING if request.param == "accept-new" else LIGHT


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(directory=tmp_path / "my state")
    facts = pve_node()
    storages = tuple(replace(one, content=one.content | {"rootdir"}) for one in facts.storages)
    made.pve_nodes = [replace(facts, storages=storages)]
    made.ostemplates = (OsTemplate(pve_node=PVE1, volume="local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"),)
    made.state[DEMO, "id_ed25519"] = "the key"
    made.tells_made_keys = False
    return made


def up(world: World, spec: ClusterSpec) -> list[str]:
    """Run it; the warnings about host keys."""
    told: list[Event] = []
    ports = world.ports
    Up().run(Up().plan(spec, ports), spec, ports, sink=told.append, options=RunOptions())
    return [event.message for event in told if isinstance(event, Warned) and "host key" in event.message]


def kept(world: World) -> dict[str, str]:
    return {item: text for (_, item), text in world.state.items() if item.startswith("known_hosts.")}


def forget_all(world: World) -> None:
    for item in kept(world):
        del world.state[DEMO, item]


def test_the_first_key_is_told_once_and_kept(world: World, spec: ClusterSpec) -> None:
    warnings = up(world, spec)
    assert any(
        "demo-workers-1 is trusted on first use, since no source confirms it: ssh-ed25519 SHA256:" in one
        for one in warnings
    )
    assert "demo-workers-1 ssh-ed25519 AAAA7001\n" in kept(world).values()
    assert up(world, spec) == []


def test_somebody_else_in_a_machines_place_is_told_nothing(world: World, spec: ClusterSpec) -> None:
    """Until now each connection took any key: k3s's token went to anyone who had the address."""
    up(world, spec)
    before = list(world.journal)
    vm = world.vm_named("demo-workers-1")
    assert vm is not None
    vm.unit, vm.k3s_sha256 = "", ""  # so that `up` has something to send there
    world.host_keys["demo-workers-1"] = OTHER
    with pytest.raises(HomelabError) as caught:
        up(world, spec)
    error = caught.value
    if isinstance(error, RunFailedError):
        error = error.failures[0][1]
    assert "demo-workers-1" in error.brief
    assert "host key" in error.brief
    assert "rm " in error.resolution
    assert "known_hosts." in error.resolution
    assert not [line for line in world.journal[len(before) :] if line.endswith(" demo-workers-1")]


def test_commands_meet_the_kept_key_too(world: World, spec: ClusterSpec) -> None:
    up(world, spec)
    world.host_keys["demo-workers-1"] = OTHER
    (answer,) = run_everywhere("id", spec, world.ports, names=["workers-1"], timeout_s=5.0, tell=lambda _answer: None)
    assert answer.outcome is None
    assert "the SSH host key is not the expected one" in answer.problem
    login = login_to("workers-1", spec, world.ports)
    assert login.known_hosts.read_text() == "demo-workers-1 ssh-ed25519 AAAA7001\n"


def test_a_command_that_meets_a_machine_first_says_so(world: World, spec: ClusterSpec) -> None:
    up(world, spec)
    forget_all(world)
    for trusts in (True, False):
        (answer,) = run_everywhere("id", spec, world.ports, names=["workers-1"], timeout_s=5.0, tell=lambda _one: None)
        assert ("trusted on first use" in answer.trusted) is trusts


def test_ssh_is_never_left_to_take_a_key_by_itself(world: World, spec: ClusterSpec) -> None:
    up(world, spec)
    for key in [key for key in world.state if key[1].startswith("known_hosts.")]:
        world.state[key] = ""  # as earlier releases left it for OpenSSH to fill
    login = login_to("workers-1", spec, world.ports)
    assert "StrictHostKeyChecking=yes" in login.ssh()
    assert "trusted on first use" in login.trusted
    assert login.known_hosts.read_text() == "demo-workers-1 ssh-ed25519 AAAA7001\n"
    assert login_to("workers-1", spec, world.ports).trusted == ""


def test_a_machine_made_anew_is_not_taken_for_another(world: World, spec: ClusterSpec) -> None:
    """A container made again has its vmid and MAC address again, and no SMBIOS UUID that differs."""
    up(world, spec)
    vm = world.vm_named("demo-workers-1")
    assert vm is not None
    del world.vms[Vmid(vm.vmid)]  # somebody has removed it in Proxmox VE
    world.kube_nodes.pop(MachineName("demo-workers-1"))
    world.host_keys["demo-workers-1"] = OTHER
    up(world, spec)
    again = world.vm_named("demo-workers-1")
    assert again is not None
    assert (again.vmid, again.mac) == (vm.vmid, vm.mac)
    assert f"demo-workers-1 {OTHER}\n" in kept(world).values()


def test_down_forgets_them(world: World, spec: ClusterSpec) -> None:
    up(world, spec)
    Down().run(Down().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    assert kept(world) == {}


def test_of_two_commands_that_meet_a_machine_at_once_one_key_counts(world: World) -> None:
    """The other command has kept its key between our connection and our keeping."""
    up(world, TRUSTING)
    forget_all(world)
    ports = world.ports

    class Slow:
        public_key = ports.shells.public_key
        check = ports.shells.check
        way = ports.shells.way

        def connect(self, *args: object, **named: object) -> GuestShell:
            shell = ports.shells.connect(*args, **named)  # type: ignore[arg-type]
            vm = world.vm_named("demo-cp-1")
            assert vm is not None
            world.state[DEMO, f"known_hosts.{vm.smbios_uuid}"] = f"demo-cp-1 {OTHER}\n"
            return shell

    with pytest.raises(HostKeyError) as caught:
        login_to("cp-1", TRUSTING, replace(ports, shells=Slow()))
    assert caught.value.details == f"expected {fingerprint(OTHER)}\nfound {fingerprint('ssh-ed25519 AAAA7000')}"


def test_one_that_lets_anybody_in_is_not_gone_on_with(world: World, spec: ClusterSpec) -> None:
    up(world, spec)
    world.lets_anybody_in.add("demo-workers-1")
    forget_all(world)
    with pytest.raises(GuestError, match="without any key"):
        login_to("workers-1", spec, world.ports)


def test_a_containers_key_that_proxmox_ve_made_is_the_only_one_taken(world: World) -> None:
    """It tells its fingerprint when it makes the container: nothing is taken on trust, the first time either."""
    world.tells_made_keys = True
    assert up(world, LIGHT) == []
    assert "demo-workers-1 ssh-ed25519 AAAA7001\n" in kept(world).values()
    world.host_keys["demo-workers-1"] = OTHER
    forget_all(world)
    (answer,) = run_everywhere("id", LIGHT, world.ports, names=["workers-1"], timeout_s=5.0, tell=lambda _answer: None)
    assert "the SSH host key is not the expected one" in answer.problem
    with pytest.raises(HostKeyError) as caught:
        login_to("workers-1", LIGHT, world.ports)
    assert "accept-new" in caught.value.resolution


def test_it_is_kept_for_when_proxmox_ve_does_not_know_it_any_more(world: World) -> None:
    world.tells_made_keys = True
    up(world, LIGHT)
    world.tells_made_keys = False  # the tasks' logs have been cleared away
    assert up(world, LIGHT) == []
    world.host_keys["demo-workers-1"] = OTHER
    (answer,) = run_everywhere("id", LIGHT, world.ports, names=["workers-1"], timeout_s=5.0, tell=lambda _answer: None)
    assert "the SSH host key is not the expected one" in answer.problem


def test_what_was_kept_of_another_container_gives_way_to_what_is_told(world: World) -> None:
    """Another computer has made the container again, with its vmid and its MAC address."""
    world.tells_made_keys = True
    up(world, LIGHT)
    (item,) = kept(world)  # the server's is asked of its guest agent
    world.state[DEMO, item] = f"demo-workers-1 {OTHER}\n"
    login = login_to("workers-1", LIGHT, world.ports)
    assert login.known_hosts.read_text() == "demo-workers-1 ssh-ed25519 AAAA7001\n"
    assert login.trusted == ""


def test_a_container_whose_keys_the_user_has_changed_can_be_trusted_anew(world: World) -> None:
    world.tells_made_keys = True
    up(world, LIGHT)
    world.host_keys["demo-workers-1"] = OTHER
    forget_all(world)
    trusting = replace(LIGHT, ssh=replace(LIGHT.ssh, host_keys=HostKeyPolicy.ACCEPT_NEW))
    assert "trusted on first use" in login_to("workers-1", trusting, world.ports).trusted
