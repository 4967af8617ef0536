"""Workers hold a token that is good for workers alone, from the first machine on or from a rotation on."""

from __future__ import annotations

import pytest

from bootstrap.cli.text.status import status_text
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.doctor import diagnose
from bootstrap.commands.reports.snapshots import list_snapshots
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.backup import Backup
from bootstrap.commands.verbs.rebuild import Rebuild
from bootstrap.commands.verbs.restore import Restore
from bootstrap.commands.verbs.rotate import RotateToken
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError
from bootstrap.k3s.worker_token import WorkerToken
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.checks.doctor import Verdict
from bootstrap.records.state.state_items import AGENT_TOKEN, NEXT_AGENT_TOKEN, NEXT_TOKEN, TOKEN
from bootstrap.records.state.token_history import short_form
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import FakeVm, World
from tests.fakes.world.facts import FINGERPRINT
from tests.fakes.world.k3s import environment

SPEC = cluster(3, 2)
OPTIONS = RunOptions()


def up(world: World, spec: ClusterSpec = SPEC) -> None:
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=OPTIONS)


def new_cluster(spec: ClusterSpec = SPEC) -> World:
    world = World()
    up(world, spec)
    return world


def old_cluster(spec: ClusterSpec = SPEC) -> World:
    """As an earlier release made it: one token for all."""
    world = World()
    world.state[DEMO, TOKEN] = "0123456789abcdef"
    up(world, spec)
    return world


def rotate(world: World, spec: ClusterSpec = SPEC) -> None:
    RotateToken().run(
        RotateToken().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=OPTIONS
    )


def machines(world: World, kind: str) -> list[FakeVm]:
    return [vm for vm in world.vms.values() if kind in vm.name]


def held(vm: FakeVm) -> str:
    return short_form(environment(vm.files["service.env"])["K3S_TOKEN"])


def check(world: World, *, new: bool = True) -> None:
    """Servers agree, no worker has what is the servers', and every server starts by itself again."""
    server, agent = short_form(world.state[DEMO, TOKEN]), short_form(world.state[DEMO, AGENT_TOKEN])
    assert bool(agent) is new
    assert server != agent
    for vm in machines(world, "-cp-"):
        assert held(vm) == server
        assert environment(vm.files["service.env"]).get("K3S_AGENT_TOKEN", "") == agent
        assert vm.files.get("agent-token", vm.files["token"]) == world.datastore.agents, "passwd is newer than the data"
    for vm in machines(world, "-workers-"):
        assert held(vm) == (agent or server)
        assert not new or server not in str(vm.files)


def test_workers_of_a_new_cluster_never_get_the_servers_token() -> None:
    world = new_cluster()
    check(world)
    assert world.state[DEMO, AGENT_TOKEN].startswith(f"K10{'ab' * 32}::node:")
    up(world, cluster(3, 4))
    check(world)


def test_a_lost_state_is_had_again_from_a_server_with_both() -> None:
    world = new_cluster()
    before = {item: world.state[DEMO, item] for item in (TOKEN, AGENT_TOKEN)}
    for item in before:
        del world.state[DEMO, item]
    up(world, cluster(3, 3))
    assert {item: world.state[DEMO, item] for item in before} == before
    check(world)


def test_a_cluster_of_an_earlier_release_works_on_and_grows() -> None:
    world = old_cluster()
    check(world, new=False)
    up(world, cluster(3, 3))
    check(world, new=False)


@pytest.mark.parametrize("servers", [1, 3])
def test_a_rotation_moves_an_older_cluster_over(servers: int) -> None:
    spec = cluster(servers, 2)
    world = old_cluster(spec)
    old = short_form(world.state[DEMO, TOKEN])
    rotate(world, spec)
    check(world)
    assert short_form(world.state[DEMO, TOKEN]) != old
    assert (world.state[DEMO, NEXT_TOKEN], world.state[DEMO, NEXT_AGENT_TOKEN]) == ("", "")


def test_a_rotation_turns_both() -> None:
    world = new_cluster()
    before = {short_form(world.state[DEMO, item]) for item in (TOKEN, AGENT_TOKEN)}
    rotate(world)
    check(world)
    assert not before & {short_form(world.state[DEMO, item]) for item in (TOKEN, AGENT_TOKEN)}


@pytest.mark.parametrize("script", ["rotate-token.sh", "renew-token.sh", "start-k3s.sh", "unit-state.sh"])
@pytest.mark.parametrize("build", [old_cluster, new_cluster])
def test_one_that_was_cut_off_is_finished_with_the_same_tokens(build: object, script: str) -> None:
    world = old_cluster() if build is old_cluster else new_cluster()
    world.broken_scripts.add(script)
    with pytest.raises(HomelabError):
        rotate(world)
    noted = [world.state.get((DEMO, item), "") for item in (NEXT_TOKEN, NEXT_AGENT_TOKEN)]
    world.broken_scripts.clear()
    rotate(world)
    check(world)
    if all(noted):
        assert noted == [short_form(world.state[DEMO, item]) for item in (TOKEN, AGENT_TOKEN)]


def test_one_that_an_earlier_release_has_begun_is_finished_with_an_agent_token() -> None:
    world = old_cluster()
    world.state[DEMO, NEXT_TOKEN] = "feedbeef"
    rotate(world)
    check(world)
    assert short_form(world.state[DEMO, TOKEN]) == "feedbeef"


def test_an_agent_token_of_the_users_own_settings_is_named() -> None:
    world = new_cluster()
    world.lies["read-token.sh"] = lambda told: f"{told.splitlines()[0]}\nK10{'ab' * 32}::node:theirs\n"
    with pytest.raises(HomelabError) as raised:
        rotate(world)
    assert "config.yaml.d" in f"{raised.value.resolution} {raised.value.details}"


@pytest.mark.parametrize("servers", [1, 3])
def test_a_snapshot_from_before_the_move_comes_back_and_the_agents_keep_their_token(
    servers: int, tmp_path: object
) -> None:
    spec = cluster(servers, 2)
    world = old_cluster(spec)
    old = short_form(world.state[DEMO, TOKEN])
    verb_options = Backup()
    verb_options.run(verb_options.plan(spec, world.ports), spec, world.ports, sink=lambda _: None, options=OPTIONS)
    rotate(world, spec)
    agents = world.state[DEMO, AGENT_TOKEN]
    (taken,) = list_snapshots(spec, world.ports, directory=world.directory).snapshots
    back = Restore(snapshot=taken.name, directory=world.directory)
    world.state[DEMO, "tokens-before"] = f"99999999999 {old}\n"
    back.run(back.plan(spec, world.ports), spec, world.ports, sink=lambda _: None, options=OPTIONS)
    assert short_form(world.state[DEMO, TOKEN]) == old
    assert world.state[DEMO, AGENT_TOKEN] == agents
    check(world)


def test_a_rebuild_of_an_older_cluster_gives_workers_a_token_of_their_own() -> None:
    for keep in (True, False):
        world = old_cluster()
        token = short_form(world.state[DEMO, TOKEN])
        verb_options = Rebuild(keep_identity=keep)
        plan = verb_options.plan(SPEC, world.ports)
        verb_options.run(plan, SPEC, world.ports, sink=lambda _event: None, options=OPTIONS)
        assert (short_form(world.state[DEMO, TOKEN]) == token) is keep
        check(world)


def test_status_and_doctor_say_which_kind_workers_hold() -> None:
    endpoint = PveEndpoint(
        url="https://192.0.2.1:8006",
        token=ApiToken(user="root@pam", name="t", secret="s"),
        tls=TlsSpec(fingerprint=FINGERPRINT),
    )
    for world, kind, verdict, words in (
        (new_cluster(), WorkerToken.AGENT, Verdict.OK, "an agent token"),
        (old_cluster(), WorkerToken.SERVER, Verdict.WARNING, "homelab-k8s rotate token"),
    ):
        status = cluster_status(SPEC, world.ports)
        assert status.worker_token is kind
        assert status.problems == ()
        assert words in next(line for line in status_text(status).splitlines() if line.startswith("worker token"))
        found = next(each for each in diagnose(SPEC, endpoint, world.ports).checks if each.name == "worker-token")
        assert found.verdict is verdict
        assert words in f"{found.says} {found.remedy}"
    rotate(world)
    assert cluster_status(SPEC, world.ports).worker_token is WorkerToken.AGENT


def test_a_server_whose_etcd_has_no_leader_yet_is_asked_again_to_save_its_passwords() -> None:
    """Seen right after the restart of one of three: "etcdserver: request timed out"."""
    world = new_cluster()
    world.datastore.leaderless = 2
    rotate(world)
    assert world.datastore.leaderless == 0
    check(world)
