"""Addresses of the range that somebody else has: they are passed over, and that is said."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.replace import Replace
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec, NetworkSpec, StaticAddresses, StorageNetwork
from bootstrap.model.ids import PoolName
from bootstrap.planning.plan import Plan
from bootstrap.planning.verbs.replace import ReplaceOptions
from tests.fakes.specs import cluster
from tests.fakes.world import World


def address(number: int) -> IPv4Address:
    return IPv4Address("192.0.2.0") + number


def static(first: int, last: int, *, net: str = "192.0.2") -> ClusterSpec:
    subnet = IPv4Network(f"{net}.0/24")
    addresses = StaticAddresses(first=subnet[first], last=subnet[last], subnet=subnet, gateway=subnet[1])
    return replace(cluster(), network=NetworkSpec(addresses=addresses, subnet=subnet))


def given(plan: Plan) -> list[IPv4Address | None]:
    return [machine.spec.address for machine in plan.machines]


def test_taken_addresses_are_passed_over_and_named() -> None:
    plan = Up().plan(static(50, 60), World(answering={address(51), address(52), address(60)}).ports)
    assert given(plan) == [address(50), address(53), address(54), address(55)]
    told = [note for note in plan.notes if "answer at" in note]
    assert told == ["other machines answer at 192.0.2.51, 192.0.2.52 of network.addresses: these addresses are skipped"]


def test_a_range_that_is_all_taken_is_refused_and_nothing_is_touched() -> None:
    world = World(answering={address(number) for number in range(53, 61)})
    with pytest.raises(PreflightError, match="no address is left for demo-workers-3") as refused:
        Up().plan(static(50, 60), world.ports)
    assert "already in use by others: 192.0.2.53, 192.0.2.54" in refused.value.details
    assert world.journal == []


def test_machines_that_are_there_answer_at_their_own_addresses() -> None:
    world, spec = World(), static(50, 60)
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    world.answering |= {address(number) for number in (50, 51, 52, 53, 54)}
    assert Up().plan(spec, world.ports).empty
    plan = Scale(counts={PoolName("workers"): 4}).plan(spec, world.ports)
    assert given(plan) == [address(number) for number in (50, 51, 52, 53, 55)]


def test_successors_of_replaced_machines_get_no_address_that_is_taken() -> None:
    world, spec = World(), static(50, 60)
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    world.answering |= {address(54), address(56)}
    plan = Replace(ReplaceOptions(pool=PoolName("workers"))).plan(spec, world.ports)
    new = [machine.spec.address for machine in plan.machines if machine.action == "create"]
    assert new == [address(55), address(57), address(58)]
    assert any("other machines answer at 192.0.2.54, 192.0.2.56" in note for note in plan.notes)


def test_addresses_of_the_storage_network_are_asked_too() -> None:
    net = IPv4Network("198.51.100.0/24")
    storage = StorageNetwork(bridge="vmbr0", addresses=StaticAddresses(first=net[5], last=net[9], subnet=net))
    spec = replace(cluster(agents=1), network=NetworkSpec(storage=storage))
    plan = Up().plan(spec, World(answering={net[5], net[7]}).ports)
    assert [machine.spec.storage_address for machine in plan.machines] == [net[6], net[8]]
    assert "other machines answer at 198.51.100.5, 198.51.100.7 of network.storage.addresses" in "\n".join(plan.notes)
    with pytest.raises(PreflightError, match=r"storage network's range .* is exhausted") as refused:
        Up().plan(spec, World(answering={net[number] for number in range(6, 10)}).ports)
    assert "already in use by others: 198.51.100.6, 198.51.100.7" in refused.value.details


@dataclass
class _Slow:
    """Answers only once all are being asked at the same time."""

    together: threading.Barrier
    asked: list[IPv4Address] = field(default_factory=list)

    def answers(self, address: IPv4Address) -> bool:
        self.asked.append(address)
        self.together.wait(timeout=60)
        return False


def test_all_are_asked_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    slow = _Slow(together=threading.Barrier(4 + 16))
    ports = world.ports
    monkeypatch.setattr(ports.probes, "answers", slow.answers)
    Up().plan(static(50, 200), ports)
    assert sorted(slow.asked) == [address(number) for number in range(50, 70)]


def test_no_more_than_two_rounds_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs 0.7 s, and a network where everything answers must not hold `up` up for ever."""
    asked: list[IPv4Address] = []
    ports = World().ports

    def answers(each: IPv4Address) -> bool:
        asked.append(each)
        return True

    monkeypatch.setattr(ports.probes, "answers", answers)
    plan = Up().plan(static(50, 200), ports)
    assert len(asked) == len(set(asked)) == 2 * (4 + 16)
    assert given(plan)[0] == address(90)


def test_nothing_is_asked_on_loopback_networks_where_this_computer_answers() -> None:
    spec = static(50, 60, net="127.70.0")
    world = World(answering={IPv4Address(f"127.70.0.{number}") for number in range(50, 61)})
    assert given(Up().plan(spec, world.ports))[0] == IPv4Address("127.70.0.50")
