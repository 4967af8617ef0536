"""The ladder and the plan of `upgrade` by properties: what must hold for any cluster and any way up."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.errors import PreflightError
from bootstrap.k3s.versions import (
    STOPS,
    K3sVersion,
    Minor,
    check_direction,
    is_newer,
    ladder,
    minors_between,
    parse_version,
)
from bootstrap.model.ids import MachineName, Vmid
from bootstrap.model.machine import CONTROL_PLANE_POOL, MachineRecord, RecordState, Role, Taint
from bootstrap.model.observed import OWNER_TAG, KubeNode, Observed, PveVersion, VmRecord
from bootstrap.planning.day2_steps import AwaitVersion, Drain, TakeSnapshot, Uncordon, UpgradeK3s
from bootstrap.planning.plan import Gate, Plan
from bootstrap.planning.provision.upgrade_rollout import SNAPSHOT_TAKEN
from bootstrap.planning.steps import AwaitGuest, FetchK3s, InitServer
from bootstrap.planning.verbs.upgrade import UpgradeOptions, plan_upgrade, upgrade_start
from bootstrap.planning.view import ClusterView
from tests.fakes.specs import DEMO, cluster, workers
from tests.fakes.world import PVE1, pve_node

V = parse_version
PRE_RELEASES = ["-alpha", "-alpha.1", "-alpha.2", "-beta.0", "-rc.0", "-rc1", "-rc2", "-rc10", ""]
CORDON = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")

versions = st.builds(
    lambda minor, patch, k3s: V(f"v1.{minor}.{patch}+k3s{k3s}"),
    st.integers(28, 38),
    st.integers(0, 14),
    st.integers(1, 3),
)


@st.composite
def ways(draw: st.DrawFn) -> tuple[K3sVersion, K3sVersion, dict[Minor, K3sVersion], K3sVersion | None]:
    """Two versions, the newest release of each minor, and what etcd runs."""
    lowest, target = sorted((draw(versions), draw(versions)))
    newest = {
        Minor(1, minor): V(f"v1.{minor}.{draw(st.integers(0, 15))}+k3s{draw(st.integers(1, 3))}")
        for minor in range(28, 39)
    }
    return lowest, target, newest, lowest if draw(st.booleans()) else None


class TestVersions:
    @given(versions)
    def test_a_version_is_read_as_it_is_written(self, version: K3sVersion) -> None:
        assert parse_version(str(version)) == version

    @given(
        versions, st.permutations(["-alpha", "-alpha.1", "-alpha.2", "-beta.0", "-rc.0", "-rc1", "-rc2", "-rc10", ""])
    )
    def test_pre_releases_come_before_their_release_in_the_order_of_semver(
        self, version: K3sVersion, labels: list[str]
    ) -> None:
        core, _, build = str(version).partition("+")
        found = sorted(V(f"{core}{label}+{build}") for label in labels)
        assert [str(each) for each in found] == [f"{core}{label}+{build}" for label in PRE_RELEASES]
        assert [each.is_prerelease for each in found] == [True] * 8 + [False]
        assert is_newer(str(found[-1]), str(found[0]))

    def test_they_are_ordered_as_they_follow_each_other(self) -> None:
        order = ["v1.33.9+k3s1", "v1.33.10-rc1+k3s1", "v1.33.10-rc2+k3s1", "v1.33.10+k3s1", "v1.33.10+k3s2"]
        assert [str(version) for version in sorted(map(V, reversed(order)))] == order
        assert str(V("v1.33.10-rc2+k3s1")) == "v1.33.10-rc2+k3s1"

    @pytest.mark.parametrize(
        "text",
        ["", "1.33.3+k3s1", "v1.33.3", "v1.33", "v1.33.3+k3s1 ", "stable", "v1.33.3-dev+k3s1", "v1.3.3-rc1.2+k3s1"],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(PreflightError, match="is not a k3s version"):
            parse_version(text)


class TestLadder:
    @given(ways())
    def test_it_goes_up_skips_no_minor_and_ends_at_the_target(
        self, way: tuple[K3sVersion, K3sVersion, dict[Minor, K3sVersion], K3sVersion | None]
    ) -> None:
        lowest, target, newest, etcd = way
        known = {minor: newest[minor] for minor in minors_between(lowest, target, etcd=etcd)}
        climbed = [lowest, *(rung.version for rung in ladder(lowest, target, newest=known, etcd=etcd))]
        assert climbed[-1] == target
        for below, above in itertools.pairwise(climbed):
            assert below < above
            assert above.minor.minor - below.minor.minor <= 1

    @given(ways())
    def test_etcd_passes_every_stop(
        self, way: tuple[K3sVersion, K3sVersion, dict[Minor, K3sVersion], K3sVersion | None]
    ) -> None:
        lowest, target, newest, _ = way
        climbed = [rung.version for rung in ladder(lowest, target, newest=newest, etcd=lowest)]
        for stop in STOPS:
            if lowest < stop.first and stop.passed_by(target):
                assert any(stop.serves(version) for version in climbed), stop

    def test_etcd_3_6_is_reached_by_3_5_26_alone(self) -> None:
        newest = {Minor(1, 33): V("v1.33.13+k3s1")}
        assert minors_between(V("v1.32.9+k3s1"), V("v1.34.1+k3s1"), etcd=V("v1.32.9+k3s1")) == (Minor(1, 33),)
        with_etcd = ladder(V("v1.32.9+k3s1"), V("v1.34.1+k3s1"), newest=newest, etcd=V("v1.32.9+k3s1"))
        assert [str(rung.version) for rung in with_etcd] == ["v1.33.10+k3s1", "v1.34.1+k3s1"]
        assert "3.5.26" in with_etcd[0].why
        with_sqlite = ladder(V("v1.32.9+k3s1"), V("v1.34.1+k3s1"), newest=newest, etcd=None)
        assert [str(rung.version) for rung in with_sqlite] == ["v1.33.13+k3s1", "v1.34.1+k3s1"]

    def test_the_last_with_3_5_26_is_taken_unless_the_newest_at_hand_has_it_too(self) -> None:
        """k3s v1.33.7+k3s3 to v1.33.10+k3s1 have it; what runs one of them needs no stop."""

        def way(lowest: str, newest: str, target: str = "v1.34.1+k3s1") -> list[str]:
            known = {Minor(1, 33): V(newest)}
            return [str(rung.version) for rung in ladder(V(lowest), V(target), newest=known, etcd=V(lowest))]

        assert way("v1.33.3+k3s1", "v1.33.7+k3s3") == ["v1.33.7+k3s3", "v1.34.1+k3s1"]
        assert way("v1.33.3+k3s1", "v1.33.11+k3s1") == ["v1.33.10+k3s1", "v1.34.1+k3s1"]
        assert way("v1.33.3+k3s1", "v1.33.13+k3s1", "v1.33.12+k3s1") == ["v1.33.10+k3s1", "v1.33.12+k3s1"]
        assert way("v1.33.3+k3s1", "v1.33.13+k3s1", "v1.33.9+k3s1") == ["v1.33.9+k3s1"]
        assert way("v1.33.8+k3s1", "v1.33.13+k3s1") == ["v1.34.1+k3s1"]

    def test_a_stop_may_be_in_the_minor_that_runs(self) -> None:
        rungs = ladder(
            V("v1.33.3+k3s1"), V("v1.34.1+k3s1"), newest={Minor(1, 33): V("v1.33.13+k3s1")}, etcd=V("v1.33.3+k3s1")
        )
        assert [str(rung.version) for rung in rungs] == ["v1.33.10+k3s1", "v1.34.1+k3s1"]

    def test_a_newest_release_that_serves_is_the_stop(self) -> None:
        rungs = ladder(
            V("v1.36.1+k3s1"), V("v1.37.0+k3s1"), newest={Minor(1, 36): V("v1.36.4+k3s1")}, etcd=V("v1.36.1+k3s1")
        )
        assert [str(rung.version) for rung in rungs] == ["v1.36.4+k3s1", "v1.37.0+k3s1"]

    def test_it_never_goes_down_not_even_a_k3s_patch(self) -> None:
        check_direction(V("v1.33.3+k3s1"), V("v1.33.3+k3s1"))
        for target in ("v1.33.3+k3s1", "v1.33.2+k3s2", "v1.32.9+k3s9", "v1.33.3-rc1+k3s2"):
            with pytest.raises(PreflightError, match="never downgraded"):
                check_direction(V("v1.33.3+k3s2"), V(target))


def seen(*machines: KubeNode, off: frozenset[str] = frozenset(), state: RecordState = RecordState.MADE) -> Observed:
    """A cluster of these nodes, each with its VM."""
    vms = []
    for number, node in enumerate(machines):
        role = Role.CONTROL_PLANE if "control-plane" in node.roles else Role.WORKER
        record = MachineRecord(
            cluster=DEMO,
            machine=node.name,
            role=role,
            pool=CONTROL_PLANE_POOL if role is Role.CONTROL_PLANE else workers().name,
            vmid=Vmid(7000 + number),
            state=state if role is Role.WORKER else RecordState.MADE,
        )
        vms.append(
            VmRecord(
                vmid=record.vmid,
                name=node.name,
                pve_node=PVE1,
                running=node.name not in off,
                tags=frozenset({OWNER_TAG, DEMO}),
                record=record,
                smbios_uuid=f"uuid-{number}",
                doubt="",
            )
        )
    return Observed(
        version=PveVersion(major=9, minor=0, text="9.0"),
        pve_nodes=(pve_node(),),
        templates=(),
        vms=tuple(vms),
        kube_nodes=machines,
    )


def server(number: int, version: str, *, etcd: bool = False, ready: bool = True, cordoned: bool = False) -> KubeNode:
    roles = {"control-plane", "etcd"} if etcd else {"control-plane"}
    return node(f"demo-cp-{number}", version, roles=frozenset(roles), ready=ready, cordoned=cordoned)


def agent(number: int, version: str, *, ready: bool = True, cordoned: bool = False) -> KubeNode:
    return node(f"demo-workers-{number}", version, ready=ready, cordoned=cordoned)


def node(
    name: str, version: str, *, roles: frozenset[str] = frozenset(), ready: bool = True, cordoned: bool = False
) -> KubeNode:
    return KubeNode(
        name=MachineName(name),
        ready=ready,
        version=version,
        roles=roles,
        unschedulable=cordoned,
        taints=(CORDON,) if cordoned else (),
    )


def plan_to(target: str, observed: Observed, how: UpgradeOptions | None = None) -> Plan:
    newest = {Minor(1, minor): V(f"v1.{minor}.14+k3s1") for minor in range(28, 39)}
    return plan_upgrade(
        ClusterView(cluster(3, 2), observed),
        target=V(target),
        newest=newest,
        upgrading=how or UpgradeOptions(snapshot=True),
    )


class Climb:
    """Carries a plan out by its gates alone, one step at a time in an order that hypothesis draws."""

    def __init__(self, plan: Plan, observed: Observed, data: st.DataObject) -> None:
        self.left = {lane.name: list(lane.steps) for lane in plan.lanes}
        self.open: set[Gate] = set()
        self.data = data
        self.roles = {node.name: "control-plane" in node.roles for node in observed.kube_nodes or ()}
        self.versions = {node.name: V(node.version) for node in observed.kube_nodes or ()}
        self.away = {node.name for node in observed.kube_nodes or () if node.unschedulable}
        self.order: list[str] = []
        self.most_agents_away = 0

    def run(self) -> None:
        while any(self.left.values()):
            ready = [
                name for name, steps in self.left.items() if steps and all(gate in self.open for gate in steps[0].needs)
            ]
            assert ready, f"nothing can start: {self.left}"
            name = self.data.draw(st.sampled_from(sorted(ready)))
            lane_step = self.left[name].pop(0)
            match lane_step.step:
                case Drain(machine=machine):
                    self.away.add(machine)
                case Uncordon(machine=machine):
                    self.away.discard(machine)
                case UpgradeK3s(machine=machine, version=version):
                    self._upgrade(machine.name, V(version))
                case _:
                    pass
            self.open.update(lane_step.opens)

    def _upgrade(self, name: MachineName, version: K3sVersion) -> None:
        before = self.versions[name]
        assert version.minor.minor - before.minor.minor <= 1
        assert version >= before
        servers = {other: self.versions[other] for other, is_server in self.roles.items() if is_server}
        if self.roles[name]:
            away = [other for other in self.away if self.roles[other] and other != name]
            assert not away, f"{name} while {away} are away"
            for other, there in self.versions.items():  # none is left more than one minor behind a server
                assert version.minor.minor - there.minor.minor <= 1, f"{name} leaves {other} behind"
        else:
            assert all(version <= there for there in servers.values()), f"{name} ahead of a server"
            self.most_agents_away = max(self.most_agents_away, sum(not self.roles[other] for other in self.away))
        self.versions[name] = version
        self.order.append(f"{name} {version}")


@given(
    servers=st.sampled_from([1, 3]),
    agents=st.integers(0, 4),
    minors=st.integers(0, 3),
    at_once=st.integers(1, 3),
    done=st.integers(0, 7),
    data=st.data(),
)
def test_any_order_the_gates_allow_is_a_good_one(
    servers: int, agents: int, minors: int, at_once: int, done: int, data: st.DataObject
) -> None:
    """Servers first and one at a time, no agent ahead of a server, never more away than allowed, all at the target.

    `done` machines were upgraded to the first rung by a run that was killed.
    """
    low, first, target = V("v1.33.8+k3s1"), "v1.34.14+k3s1" if minors > 1 else "", V(f"v1.{33 + minors}.9+k3s1")
    reached = first or str(target)
    names = [(server, number) for number in range(1, servers + 1)] + [(agent, n) for n in range(1, agents + 1)]
    done = min(done, len(names) - 1)
    nodes = [make(n, reached if i < done else str(low), cordoned=i == done > 0) for i, (make, n) in enumerate(names)]
    observed = seen(*nodes)
    plan = plan_to(str(target), observed, UpgradeOptions(max_unavailable=at_once))
    climb = Climb(plan, observed, data)
    climb.run()
    assert set(climb.versions.values()) == {target}
    assert climb.away == set()
    assert climb.most_agents_away <= at_once


def test_agents_have_turns_together_and_the_next_follows_the_first_that_is_ready() -> None:
    old, new = "v1.34.1+k3s1", "v1.34.4+k3s1"
    observed = seen(*(server(n, old) for n in (1, 2, 3)), *(agent(n, old) for n in (1, 2, 3, 4)))
    plan = plan_to(new, observed, UpgradeOptions(max_unavailable=2))
    before = {
        lane.name: {gate.of for step in lane.steps for gate in step.needs if gate.name == "upgraded"}
        for lane in plan.lanes
    }
    assert before["demo-cp-2"] == {f"demo-cp-1/{new}"}
    assert before["demo-workers-1"] == before["demo-workers-2"] == {f"demo-cp-3/{new}"}
    assert before["demo-workers-3"] == {f"demo-workers-1/{new}"}
    assert before["demo-workers-4"] == {f"demo-workers-2/{new}"}
    assert "2 workers at a time; servers one at a time" in plan.notes


def test_as_many_at_a_time_as_leave_pods_a_node() -> None:
    old = "v1.34.1+k3s1"
    observed = seen(server(1, old), agent(1, old), agent(2, old))
    notes = plan_to("v1.34.4+k3s1", observed, UpgradeOptions(max_unavailable=5)).notes
    assert "2 instead of 5 workers at a time, so that pods have nodes to move to" in notes


def test_everything_is_at_hand_before_the_first_machine_is_touched() -> None:
    plan = plan_to("v1.35.1+k3s1", seen(server(1, "v1.33.8+k3s1"), agent(1, "v1.33.8+k3s1"), agent(2, "v1.33.8+k3s1")))
    lanes = {lane.name: lane.steps for lane in plan.lanes}
    assert [s.step for s in lanes["k3s"]] == [
        FetchK3s(version="v1.34.14+k3s1", arch="amd64"),
        FetchK3s(version="v1.35.1+k3s1", arch="amd64"),
    ]
    assert isinstance(lanes["snapshot"][0].step, TakeSnapshot)
    kinds = [type(lane_step.step) for lane_step in lanes["demo-cp-1"]]
    one = [Drain, UpgradeK3s, AwaitVersion, Uncordon]
    assert kinds == [AwaitGuest, InitServer, *one, *one]
    first = next(lane_step for lane_step in lanes["demo-cp-1"] if isinstance(lane_step.step, Drain))
    opened = {gate for name in ("k3s", "snapshot") for lane_step in lanes[name] for gate in lane_step.opens}
    met = {
        lane_step.opens[0]
        for name, steps in lanes.items()
        for lane_step in steps
        if isinstance(lane_step.step, AwaitGuest)
    }
    assert opened | met <= set(first.needs)
    assert len(met) == 3
    assert "v1.33.8+k3s1 -> v1.34.14+k3s1 -> v1.35.1+k3s1" in plan.notes[0]


def test_the_same_version_says_nothing_to_do() -> None:
    plan = plan_to("v1.34.1+k3s1", seen(server(1, "v1.34.1+k3s1"), agent(1, "v1.34.1+k3s1")))
    assert plan.empty
    assert [machine.action for machine in plan.machines] == ["keep", "keep"]


def test_without_a_snapshot_the_plan_warns() -> None:
    plan = plan_to("v1.34.1+k3s1", seen(server(1, "v1.33.8+k3s1")), UpgradeOptions(snapshot=False))
    assert "no way back" in " ".join(plan.notes)
    needs = {gate for lane in plan.lanes for lane_step in lane.steps for gate in lane_step.needs}
    assert "snapshot" not in [lane.name for lane in plan.lanes]
    assert SNAPSHOT_TAKEN not in needs


def test_where_pods_can_go_nowhere_nothing_is_drained() -> None:
    plan = plan_to("v1.34.1+k3s1", seen(server(1, "v1.33.8+k3s1")))
    steps = [lane_step.step for lane in plan.lanes for lane_step in lane.steps]
    assert not any(isinstance(step, Drain | Uncordon) for step in steps)
    assert "not drained" in " ".join(plan.notes)


def test_a_tainted_server_is_no_place_for_the_pods_of_the_only_agent() -> None:
    taint = Taint(key="node-role.kubernetes.io/control-plane", effect="NoSchedule")
    observed = seen(replace(server(1, "v1.33.8+k3s1"), taints=(taint,)), agent(1, "v1.33.8+k3s1"))
    drained = [
        lane_step.step.machine
        for lane in plan_to("v1.34.1+k3s1", observed).lanes
        for lane_step in lane.steps
        if isinstance(lane_step.step, Drain)
    ]
    assert drained == ["demo-cp-1"]


def test_machines_that_are_not_ready_are_refused_together() -> None:
    nodes = (server(1, "v1.33.8+k3s1"), agent(1, "v1.33.8+k3s1", ready=False), agent(2, "v1.33.8+k3s1"))
    with pytest.raises(PreflightError, match="2 machines of demo must be repaired") as failure:
        plan_to("v1.34.1+k3s1", seen(*nodes, off=frozenset({"demo-workers-2"})))
    assert "demo-workers-1: not Ready" in failure.value.details
    assert "demo-workers-2: powered off" in failure.value.details
    assert "homelab-k8s up" in failure.value.resolution


def test_machines_that_a_killed_upgrade_left_come_first() -> None:
    nodes = (
        server(1, "v1.33.8+k3s1", etcd=True),
        server(2, "v1.33.8+k3s1", etcd=True, cordoned=True),
        server(3, "v1.34.1+k3s1", etcd=True, ready=False),
        agent(1, "v1.33.8+k3s1"),
    )
    start = upgrade_start(ClusterView(cluster(3, 1), seen(*nodes)))
    assert [candidate.machine.name for candidate in start.candidates] == [
        "demo-cp-3",
        "demo-cp-2",
        "demo-cp-1",
        "demo-workers-1",
    ]
    plan = plan_to("v1.34.1+k3s1", seen(*nodes))
    third = next(lane for lane in plan.lanes if lane.name == "demo-cp-3")
    assert [type(lane_step.step) for lane_step in third.steps] == [AwaitGuest, UpgradeK3s, AwaitVersion]
    assert next(m for m in plan.machines if m.spec.name == "demo-cp-3").reason.startswith("finish")


def test_a_machine_killed_before_it_was_uncordoned_is_only_uncordoned() -> None:
    plan = plan_to("v1.34.1+k3s1", seen(server(1, "v1.34.1+k3s1"), agent(1, "v1.34.1+k3s1", cordoned=True)))
    lanes = {lane.name: [type(lane_step.step) for lane_step in lane.steps] for lane in plan.lanes}
    assert lanes["demo-workers-1"] == [AwaitGuest, Uncordon]
    assert not {"k3s", "snapshot"} & set(lanes)


def test_a_half_made_machine_is_refused() -> None:
    observed = seen(server(1, "v1.33.8+k3s1"), agent(1, "v1.33.8+k3s1"), state=RecordState.CLONING)
    with pytest.raises(PreflightError, match="must be repaired") as failure:
        plan_to("v1.34.1+k3s1", observed)
    assert "demo-workers-1: VM creation was interrupted" in failure.value.details


def test_a_node_that_is_not_ours_is_left_and_told() -> None:
    observed = seen(server(1, "v1.33.8+k3s1"))
    observed = replace(observed, kube_nodes=(*(observed.kube_nodes or ()), node("attic-pi", "v1.32.1+k3s1")))
    plan = plan_to("v1.34.1+k3s1", observed)
    assert "attic-pi" in " ".join(plan.notes)
    assert "attic-pi" not in [lane.name for lane in plan.lanes]


def test_what_a_damaged_binary_says_is_no_newer_version() -> None:
    assert is_newer("v1.34.1+k3s1", "v1.33.10+k3s1")
    assert is_newer("v1.33.10+k3s1", "v1.33.9+k3s2")
    assert not is_newer("v1.33.3+k3s1", "v1.33.3+k3s1")
    assert not is_newer("", "v1.33.3+k3s1")
