"""The VIP's steps against servers whose keepalived keeps VRRP's rules: who knows whom, and who has the address."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

import pytest

from bootstrap.errors import DeadlineError, GuestError, HomelabError
from bootstrap.events import ignore
from bootstrap.execution.context import RunContext
from bootstrap.execution.guests.guest_agent_pacing import AgentPacing
from bootstrap.execution.handlers.cluster.vip import configure_vip, look, spread_vip
from bootstrap.execution.run_facts import Findings, GuestFacts
from bootstrap.model.cluster import VipSpec, VmidRange
from bootstrap.model.ids import MachineName, PveNodeName, Vmid
from bootstrap.planning.day2_steps import ConfigureVip, SpreadVip
from bootstrap.planning.plan import Plan, VmPlace
from bootstrap.ports import CertificateFacts, GuestScript
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import World
from tests.fakes.world.local import FakeProbes

VIP = VipSpec(address=IPv4Address("192.0.2.10"))
NAMES = tuple(MachineName(f"demo-cp-{number}") for number in (1, 2, 3))
FIRST, SECOND, THIRD = NAMES
ADDRESSES = {name: IPv4Address("192.0.2.11") + index for index, name in enumerate(NAMES)}


@dataclass
class Network:
    """The servers' keepalived. One that starts and hears no holder takes the VIP as well: then there are two.

    Attributes:
        settings: Of those that run.
        holders: Who has the VIP.
        starts: In which order they have started or taken in new settings.
        broken: Whether no keepalived ever gets the address.
    """

    settings: dict[MachineName, str] = field(default_factory=dict)
    installed: set[MachineName] = field(default_factory=set)
    holders: set[MachineName] = field(default_factory=set)
    starts: list[MachineName] = field(default_factory=list)
    broken: bool = False

    def peers(self, name: MachineName) -> set[IPv4Address]:
        found = re.search(r"unicast_peer \{([^}]*)\}", self.settings[name])
        return {IPv4Address(word) for word in found[1].split()} if found else set()

    def run(self, name: MachineName, settings: str) -> bool:
        if self.settings.get(name) == settings:
            return False
        started = f" {VIP.address}/32" not in self.settings.get(name, "")
        self.settings[name] = settings
        self.starts.append(name)
        hears = any(ADDRESSES[name] in self.peers(holder) for holder in self.holders)
        if started and not hears and not self.broken:
            self.holders.add(name)
        assert len(self.holders) <= 1, f"two have the VIP: {self.holders}"
        return True


@dataclass
class Shell:
    network: Network
    name: MachineName

    def run(self, script: GuestScript, *, timeout_s: float) -> str:
        if script.name == "vip-state.sh":
            assert dict(script.env) == {"ADDRESS": str(ADDRESSES[self.name]), "VIP": str(VIP.address)}
            state = "active" if self.name in self.network.settings else "inactive"
            configured = f" {VIP.address}/32" in self.network.settings.get(self.name, "")
            holder = self.name in self.network.holders
            return f"interface=eth0\nactive_state={state}\nconfigured={int(configured)}\nholder={int(holder)}\n"
        assert script.name == "install-vip.sh"
        changed = self.name not in self.network.installed
        self.network.installed.add(self.name)
        for name, text in script.secret_files:
            assert name == "keepalived.conf"
            changed = self.network.run(self.name, text) or changed
        return f"changed={int(changed)}\n"

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the VIP's steps need no {name}")


@dataclass
class Probes(FakeProbes):
    network: Network
    asked: int = 0

    def certificate(self, address: IPv4Address, port: int) -> CertificateFacts:
        self.asked += 1
        assert (address, port) == (VIP.address, 6443)
        if not self.network.holders:
            raise HomelabError(f"{address}:{port} presents no certificate", details="No route to host")
        return super().certificate(address, port)


@dataclass
class Run:
    """One run on these servers, as far as the steps see it."""

    network: Network
    probes: Probes
    context: RunContext

    def meet(self, *names: MachineName, before: bool = False) -> None:
        """Servers become known; `before`: they were there before the run."""
        for name in names:
            place = VmPlace(machine=name, vmid=Vmid(7000 + NAMES.index(name)), pve_node=PveNodeName("pve1"))
            facts = GuestFacts(
                address=ADDRESSES[name],
                arch="amd64",
                machine_id="",
                k3s_sha256="",
                k3s_version="",
                active_state="active",
            )
            self.context.findings.places.put(name, place)
            self.context.findings.guests.put(name, facts)
            self.context.findings.shells.put(name, Shell(self.network, name))  # type: ignore[arg-type]
            if not before:
                self.context.findings.cloned.put(name, True)

    def configure(self, name: MachineName = FIRST, *, first: bool = True) -> bool:
        step = ConfigureVip(machine=name, servers=NAMES, first=first)
        return configure_vip(step, self.context).changed

    def spread(self) -> bool:
        return spread_vip(SpreadVip(servers=NAMES), self.context).changed


def new_run(network: Network) -> Run:
    world = World()
    probes = Probes(world, network)
    plan = Plan(
        command="up",
        cluster=DEMO,
        machines=(),
        lanes=(),
        vmids=VmidRange(first=Vmid(7000), last=Vmid(7009)),
    )
    context = RunContext(
        spec=replace(cluster(3, 0), vip=VIP),
        ports=replace(world.ports, probes=probes),
        findings=Findings(plan),
        pacing=AgentPacing(first_ask_s=0.0),
        token="",
        deadline_s=3600.0,
        emit=ignore,
        stop=threading.Event(),
    )
    return Run(network, probes, context)


@pytest.fixture
def network() -> Network:
    return Network()


def test_the_first_server_serves_the_vip_before_others_are_known(network: Network) -> None:
    run = new_run(network)
    run.meet(FIRST)
    assert run.configure()
    assert network.holders == {FIRST}
    assert look(FIRST, run.context).holder


def test_at_the_end_every_server_knows_all_others_and_one_has_the_vip(network: Network) -> None:
    run = new_run(network)
    run.meet(FIRST)
    run.configure()
    run.meet(SECOND, THIRD)
    assert run.spread()
    for name in NAMES:
        assert network.peers(name) == {ADDRESSES[other] for other in NAMES if other != name}
    assert network.holders == {FIRST}


def test_a_second_time_changes_nothing(network: Network) -> None:
    run = new_run(network)
    run.meet(*NAMES)
    run.configure()
    run.spread()
    again = new_run(network)
    again.meet(*NAMES, before=True)
    assert not again.configure()
    assert not again.spread()


def test_servers_that_run_hear_of_a_new_one_before_it_starts(network: Network) -> None:
    old = new_run(network)
    old.meet(*NAMES)
    old.configure(THIRD)
    old.spread()
    assert network.holders == {THIRD}
    for memory in (network.settings, network.installed):  # replaced: a fresh machine, which knows nothing
        memory.pop(FIRST) if isinstance(memory, dict) else memory.discard(FIRST)
    network.settings[THIRD] = network.settings[THIRD].replace(str(ADDRESSES[FIRST]), "192.0.2.99")
    network.starts.clear()
    run = new_run(network)
    run.meet(FIRST)
    run.meet(SECOND, THIRD, before=True)
    assert run.spread()
    assert network.starts == [THIRD, FIRST]
    assert network.holders == {THIRD}


def test_a_fresh_first_server_leaves_the_vip_with_whom_it_is(network: Network) -> None:
    old = new_run(network)
    old.meet(SECOND, THIRD)
    old.configure(SECOND)
    run = new_run(network)
    run.meet(FIRST)
    run.meet(SECOND, THIRD, before=True)
    assert run.configure()
    assert FIRST in network.installed
    assert FIRST not in network.settings
    assert network.holders == {SECOND}


def test_a_fresh_cluster_asks_for_the_vip_only_when_it_should_be_there(network: Network) -> None:
    """An address that nobody has costs 3 s to ask."""
    run = new_run(network)
    run.meet(*NAMES)
    run.configure()
    assert run.probes.asked == 1


def test_further_servers_get_the_package_and_wait_for_the_end(network: Network) -> None:
    run = new_run(network)
    run.meet(SECOND)
    assert run.configure(SECOND, first=False)
    assert not run.configure(SECOND, first=False)
    assert network.installed == {SECOND}
    assert not network.settings


def test_a_vip_that_does_not_come_says_what_may_be_in_the_way(network: Network) -> None:
    network.broken = True
    run = new_run(network)
    run.meet(*NAMES)
    with pytest.raises(DeadlineError, match=r"VIP 192\.0\.2\.10") as given_up:
        run.configure()
    assert given_up.value.details == "No route to host"
    assert "protocol 112" in given_up.value.resolution


def test_an_unknown_server_is_named_and_nobody_told_to_forget_it(network: Network) -> None:
    run = new_run(network)
    run.meet(FIRST, SECOND)
    with pytest.raises(GuestError, match="demo-cp-3"):
        run.spread()
    assert not network.settings


def test_keepalived_that_runs_with_another_vip_takes_the_new_one(network: Network) -> None:
    """The inventory's VIP was changed: what runs does so with the old one's settings."""
    run = new_run(network)
    run.meet(*NAMES)
    run.configure()
    run.spread()
    network.settings = {name: text.replace(str(VIP.address), "192.0.2.99") for name, text in network.settings.items()}
    network.holders.clear()
    again = new_run(network)
    again.meet(*NAMES, before=True)
    assert again.configure()
    assert again.spread()
    assert len(network.holders) == 1
    assert not any("192.0.2.99" in text for text in network.settings.values())
