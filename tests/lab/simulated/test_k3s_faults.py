"""Each fault of k3s shows in the journal in k3s's own words, which the client's own table of causes knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.k3s.diagnosis.unit import diagnose, parse_runs
from bootstrap.lab.faults.active import Faults
from tests.lab.simulated.running import Guest, Guests, eventually
from tests.lab.simulated.test_contract import TOKEN, install, journal, settled


def serving(guests: Guests, k3s: Path) -> Guest:
    server = guests.start(201)
    install(server, k3s, "server")
    server.run("start-k3s.sh", UNIT="k3s", RESTART="0")
    settled(server, "k3s")
    return server


def joining(guests: Guests, server: Guest, k3s: Path, vmid: int = 202) -> Guest:
    agent = guests.start(vmid)
    install(agent, k3s, "agent", token=server.text("read-token.sh").strip(), server=f"https://{server.address()}:6443")
    agent.run("start-k3s.sh", UNIT="k3s-agent", RESTART="0")
    return agent


def cause_of(guest: Guest, unit: str = "k3s-agent") -> str:
    """What the client makes of a journal."""
    told = [diagnose(run.lines, ended=run.ended) for run in parse_runs(journal(guest, unit))]
    return next((found.cause.brief for found in reversed(told) if found), "")


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("wrong-token", "the server refuses its token, or does not know its Kubernetes node any more"),
        ("ca-mismatch", "the token is for another cluster CA than the server's"),
        ("server-unreachable", "it cannot reach the server on port 6443"),
        (
            "password-rejected",
            "the server rejects its node password: another machine of this name was in the cluster before",
        ),
    ],
)
def test_an_agent_that_cannot_join(simulated: Guests, faults: Faults, k3s: Path, fault: str, cause: str) -> None:
    active = faults.add(fault, machine="guest202")
    agent = joining(simulated, serving(simulated, k3s), k3s)
    eventually("the cause", lambda: cause_of(agent) == cause)
    assert agent.run("unit-state.sh", UNIT="k3s-agent")["active_state"] == "activating"
    faults.remove(active.id)
    settled(agent, "k3s-agent")  # it has tried all the time


def test_a_port_that_is_taken(simulated: Guests, faults: Faults, k3s: Path) -> None:
    faults.add("port-taken")
    server = simulated.start(201)
    install(server, k3s, "server")
    server.run("start-k3s.sh", UNIT="k3s", RESTART="0")
    eventually("the cause", lambda: "a port that k3s needs is in use" in cause_of(server, "k3s"))
    eventually("a restart", lambda: int(server.run("unit-state.sh", UNIT="k3s")["restarts"]) > 0)


def test_a_unit_that_loops(simulated: Guests, faults: Faults, k3s: Path) -> None:
    active = faults.add("unit-looping")
    server = simulated.start(201)
    install(server, k3s, "server")
    server.run("start-k3s.sh", UNIT="k3s", RESTART="0")
    eventually("restarts", lambda: int(server.run("unit-state.sh", UNIT="k3s")["restarts"]) > 1)
    assert server.run("unit-state.sh", UNIT="k3s")["result"] == "exit-code"
    faults.remove(active.id)
    settled(server, "k3s")


def test_k3s_that_ends_when_it_is_up(simulated: Guests, faults: Faults, k3s: Path) -> None:
    faults.add("dies-when-up", after_s=0.1)
    server = simulated.start(201)
    install(server, k3s, "server")
    server.run("start-k3s.sh", UNIT="k3s", RESTART="0")
    eventually("restarts", lambda: int(server.run("unit-state.sh", UNIT="k3s")["restarts"]) > 1)
    assert cause_of(server, "k3s") == "it cannot open /dev/kmsg"


def test_a_node_that_never_becomes_ready(simulated: Guests, faults: Faults, k3s: Path) -> None:
    faults.add("never-ready", machine="guest20[12]")
    server = serving(simulated, k3s)
    agents = [joining(simulated, server, k3s, vmid) for vmid in (202, 203)]
    for agent in agents:
        settled(agent, "k3s-agent")
    eventually("guest203 is Ready", lambda: ready(simulated).get("guest203") == "True")
    assert ready(simulated) == {"guest201": "False", "guest202": "False", "guest203": "True"}


def ready(guests: Guests) -> dict[str, str]:
    """Name to Ready, out of the server's own store."""
    world = guests.driver.world  # type: ignore[attr-defined]
    server = world.network.reach(guests.all[0].address(), 6443)
    return {
        node["metadata"]["name"]: next((c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready"), "")
        for node in server.store.all("nodes")
    }


def test_an_api_that_is_not_ready(simulated: Guests, faults: Faults, k3s: Path) -> None:
    server = serving(simulated, k3s)
    active = faults.add("api-503")
    assert "not ready" in server.refusal("readyz.sh")[1]
    faults.remove(active.id)
    assert server.text("readyz.sh").strip() == "ok"


def test_another_k3s_than_the_stand_in_is_refused_aloud(simulated: Guests, tmp_path: Path) -> None:
    other = tmp_path / "k3s"
    other.write_bytes(b"\x7fELF not the stand-in")
    guest = simulated.start(201)
    install(guest, other, "server")
    status, words = guest.refusal("start-k3s.sh", UNIT="k3s", RESTART="0")
    assert status == 1
    assert "simulated guests run only the k3s stand-in" in words


def test_a_server_comes_back_with_its_guest(simulated: Guests, k3s: Path) -> None:
    server = serving(simulated, k3s)
    agent = joining(simulated, server, k3s)
    settled(agent, "k3s-agent")
    token = server.text("read-token.sh")
    for guest in (server, agent):
        simulated.thread.run(simulated.driver.stop(guest.spec.vmid))
    for guest in (server, agent):
        simulated.thread.run(simulated.driver.start(guest.spec))
        eventually("an address", guest.address)
        guest.reconnect()
    settled(server, "k3s")
    settled(agent, "k3s-agent")
    assert server.text("read-token.sh") == token
    assert TOKEN in token
    assert set(ready(simulated)) == {"guest201", "guest202"}


def test_three_servers_make_one_etcd(simulated: Guests, k3s: Path) -> None:
    first = simulated.start(201)
    install(first, k3s, "server", **{"cluster-init": "true"})
    first.run("start-k3s.sh", UNIT="k3s", RESTART="0")
    settled(first, "k3s")
    token, url = first.text("read-token.sh").strip(), f"https://{first.address()}:6443"
    for vmid in (202, 203):
        server = simulated.start(vmid)
        install(server, k3s, "server", token=token, server=url)
        server.run("start-k3s.sh", UNIT="k3s", RESTART="0")
        settled(server, "k3s")
    eventually("three nodes", lambda: len(ready(simulated)) == 3)
    agent = joining(simulated, first, k3s, 204)
    settled(agent, "k3s-agent")
    # The agent uses by another server when its own is gone.
    simulated.thread.run(simulated.driver.stop(201))
    second = simulated.driver.world.network  # type: ignore[attr-defined]
    other = second.reach(simulated.all[1].address(), 6443)
    eventually("another leader", lambda: other.cluster.leader and not other.problem(), timeout_s=60)
    code, _ = other.api.call("GET", "/api/v1/nodes/guest204")
    assert code == 200


def test_an_agent_whose_unit_is_activating_though_its_node_is_ready(
    simulated: Guests, faults: Faults, k3s: Path
) -> None:
    active = faults.add("late-ready", machine="guest202", seconds=600.0)
    agent = joining(simulated, serving(simulated, k3s), k3s)
    eventually("guest202 is Ready", lambda: ready(simulated).get("guest202") == "True")
    state = agent.run("unit-state.sh", UNIT="k3s-agent")
    assert (state["active_state"], state["sub_state"], state["restarts"]) == ("activating", "start", "0")
    faults.remove(active.id)
    agent.run("start-k3s.sh", UNIT="k3s-agent", RESTART="1")
    settled(agent, "k3s-agent")
