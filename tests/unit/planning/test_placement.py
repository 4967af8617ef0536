"""Sizing and placement by properties: what must hold for any Proxmox cluster and any wish."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.errors import CapacityError, PreflightError
from bootstrap.model.cluster import CloneMode, ClusterSpec, TemplateRef
from bootstrap.model.ids import MachineName, PveNodeName, StorageName, Vmid
from bootstrap.model.machine import CONTROL_PLANE_POOL, MachineSpec, Role
from bootstrap.model.observed import Observed, PveNodeFacts, PveVersion, StorageFacts
from bootstrap.model.sizing import SizingSpec
from bootstrap.planning.capacity.placement import Placement, Sources, place
from bootstrap.planning.capacity.sizing import LINKED_CLONE_GIB
from bootstrap.planning.members.desired_machines import machine_states
from bootstrap.planning.provision.allocation import Allocation
from bootstrap.planning.templates.templates import usable_templates
from bootstrap.planning.view import ClusterView
from bootstrap.proxmox.cpu import LEVELS, common_cpu_type
from tests.fakes.specs import cluster, workers
from tests.fakes.world import TEMPLATE, pve_node

LOCAL = StorageName("local")


@st.composite
def pve_clusters(draw: st.DrawFn) -> tuple[PveNodeFacts, ...]:
    count = draw(st.integers(1, 5))
    return tuple(
        PveNodeFacts(
            name=PveNodeName(f"pve{number}"),
            online=True,
            cores=draw(st.integers(1, 32)),
            memory_mib=draw(st.integers(1024, 131072)),
            committed_cores=draw(st.integers(0, 32)),
            committed_memory_mib=draw(st.integers(0, 65536)),
            storages=(
                StorageFacts(
                    name=LOCAL,
                    kind="dir",
                    shared=False,
                    active=True,
                    content=frozenset({"images"}),
                    free_gib=draw(st.integers(0, 500)),
                ),
            ),
        )
        for number in range(1, count + 1)
    )


@st.composite
def machine_lists(draw: st.DrawFn) -> tuple[MachineSpec, ...]:
    servers = draw(st.sampled_from([1, 3, 5]))
    agents = draw(st.integers(0, 8))
    cores, memory = draw(st.integers(1, 8)), draw(st.sampled_from([512, 1024, 2048, 4096, 8192]))
    server = MachineSpec(
        name=MachineName("demo-cp-1"),
        role=Role.CONTROL_PLANE,
        pool=CONTROL_PLANE_POOL,
        cores=draw(st.integers(1, 4)),
        memory_mib=draw(st.sampled_from([1024, 2048, 4096])),
        disk_gib=20,
        cpu_type=None,
    )
    agent = replace(server, role=Role.WORKER, cores=cores, memory_mib=memory)
    return (
        *(replace(server, name=MachineName(f"demo-cp-{n}")) for n in range(1, servers + 1)),
        *(replace(agent, name=MachineName(f"demo-workers-{n}")) for n in range(1, agents + 1)),
    )


sizings = st.builds(
    SizingSpec,
    cpu_overcommit=st.sampled_from([1.0, 2.0, 4.0]),
    memory_reserve_mib=st.integers(0, 4096),
    storage_reserve_gib=st.integers(0, 20),
)


def observed_of(pve_nodes: tuple[PveNodeFacts, ...]) -> Observed:
    return Observed(version=PveVersion(major=9, minor=0, text="9.0"), pve_nodes=pve_nodes, templates=())


def templates_on(pve_nodes: tuple[PveNodeFacts, ...]) -> Sources:
    return Sources(templates={facts.name: replace(TEMPLATE, pve_node=facts.name) for facts in pve_nodes})


def try_to_place(
    spec: ClusterSpec, pve_nodes: tuple[PveNodeFacts, ...], machines: tuple[MachineSpec, ...]
) -> Placement | CapacityError:
    try:
        return place(
            ClusterView(spec, observed_of(pve_nodes)), new=machines, existing=(), sources=templates_on(pve_nodes)
        )
    except CapacityError as error:
        return error


@given(pve_clusters(), machine_lists(), sizings, st.sampled_from(CloneMode))
def test_no_limit_is_ever_broken(
    pve_nodes: tuple[PveNodeFacts, ...], machines: tuple[MachineSpec, ...], sizing: SizingSpec, clone: CloneMode
) -> None:
    spec = replace(cluster(), sizing=sizing, clone=clone)
    result = try_to_place(spec, pve_nodes, machines)
    if isinstance(result, CapacityError):
        assert result.details.count("\n") == len(pve_nodes) - 1, "one line of arithmetic per Proxmox node"
        return
    assert set(result.of) == {machine.name for machine in machines}
    for facts in pve_nodes:
        here = [machine for machine in machines if result.of[machine.name] == facts.name]
        if not here:
            continue
        assert all(machine.cores <= facts.cores for machine in here)
        assert sum(m.cores for m in here) + facts.committed_cores <= facts.cores * sizing.cpu_overcommit
        memory = sum(machine.memory_mib for machine in here) + facts.committed_memory_mib
        assert memory <= facts.memory_mib - sizing.memory_reserve_mib
        each_gib = 20 if clone is CloneMode.FULL else LINKED_CLONE_GIB
        assert len(here) * each_gib <= facts.storages[0].free_gib - sizing.storage_reserve_gib


@given(pve_clusters(), machine_lists(), sizings)
def test_the_same_input_gives_the_same_answer(
    pve_nodes: tuple[PveNodeFacts, ...], machines: tuple[MachineSpec, ...], sizing: SizingSpec
) -> None:
    spec = replace(cluster(), sizing=sizing)
    first = try_to_place(spec, pve_nodes, machines)
    second = try_to_place(spec, tuple(reversed(pve_nodes)), machines)
    if isinstance(first, CapacityError) or isinstance(second, CapacityError):
        assert str(first) == str(second)
    else:
        assert first.of == second.of


@given(machine_lists(), st.integers(2, 5))
def test_servers_spread_over_equal_proxmox_nodes(machines: tuple[MachineSpec, ...], count: int) -> None:
    roomy = tuple(
        PveNodeFacts(
            name=PveNodeName(f"pve{n}"),
            online=True,
            cores=64,
            memory_mib=2**20,
            storages=(
                StorageFacts(name=LOCAL, kind="dir", shared=False, active=True, content=frozenset(), free_gib=9999),
            ),
        )
        for n in range(count)
    )
    result = try_to_place(cluster(), roomy, machines)
    assert isinstance(result, Placement)
    servers = [result.of[machine.name] for machine in machines if machine.role is Role.CONTROL_PLANE]
    per_node = [servers.count(facts.name) for facts in roomy]
    assert max(per_node) - min(per_node) <= 1


def test_what_spreading_would_strand_is_packed() -> None:
    """Two small machines, spread, would leave no room for the large one."""
    pve_nodes = tuple(
        PveNodeFacts(
            name=PveNodeName(name),
            online=True,
            cores=16,
            memory_mib=memory + 1024,
            storages=(
                StorageFacts(name=LOCAL, kind="dir", shared=False, active=True, content=frozenset(), free_gib=500),
            ),
        )
        for name, memory in (("pve1", 4096), ("pve2", 4096))
    )
    small = MachineSpec(
        name=MachineName("demo-cp-1"),
        role=Role.CONTROL_PLANE,
        pool=CONTROL_PLANE_POOL,
        cores=1,
        memory_mib=2048,
        disk_gib=20,
        cpu_type=None,
    )
    machines = (
        small,
        replace(small, name=MachineName("demo-cp-2")),
        replace(small, name=MachineName("demo-workers-1"), role=Role.WORKER, memory_mib=4096),
    )
    result = try_to_place(cluster(), pve_nodes, machines)
    assert isinstance(result, Placement)
    assert len(result.of) == 3


@pytest.mark.parametrize(("name", "flags"), LEVELS)
def test_different_models_share_the_highest_common_level(name: str, flags: frozenset[str]) -> None:
    able = PveNodeFacts(name=PveNodeName("a"), online=True, cpu_model="A", cpu_flags=flags)
    abler = PveNodeFacts(name=PveNodeName("b"), online=True, cpu_model="B", cpu_flags=LEVELS[0][1] | {"more"})
    assert common_cpu_type((able, abler)) == name


def test_equal_models_pass_the_hosts_own_cpu_and_old_ones_fall_back_to_kvm64() -> None:
    one = PveNodeFacts(name=PveNodeName("a"), online=True, cpu_model="A", cpu_flags=frozenset({"sse2"}))
    assert common_cpu_type((one, replace(one, name=PveNodeName("b")))) == "host"
    assert common_cpu_type((one, replace(one, cpu_model="B"))) == "kvm64"


def test_existing_machines_that_are_off_count_as_committed() -> None:
    from bootstrap.model.machine import MachineRecord, RecordState
    from bootstrap.model.observed import VmRecord

    facts = PveNodeFacts(
        name=PveNodeName("pve1"),
        online=True,
        cores=8,
        memory_mib=5120,
        storages=(StorageFacts(name=LOCAL, kind="dir", shared=False, active=True, content=frozenset(), free_gib=99),),
    )
    machine = MachineSpec(
        name=MachineName("demo-workers-1"),
        role=Role.WORKER,
        pool=CONTROL_PLANE_POOL,
        cores=2,
        memory_mib=2048,
        disk_gib=20,
        cpu_type=None,
    )
    record = MachineRecord(
        cluster=cluster().name,
        machine=MachineName("demo-cp-1"),
        role=Role.CONTROL_PLANE,
        pool=CONTROL_PLANE_POOL,
        vmid=Vmid(7000),
        state=RecordState.CLONING,
    )
    half_made = VmRecord(
        vmid=Vmid(7000),
        name="demo-cp-1",
        pve_node=facts.name,
        running=False,
        record=record,
        cores=2,
        memory_mib=3072,
        doubt="",
    )
    with pytest.raises(CapacityError, match="demo-workers-1"):
        place(
            ClusterView(cluster(), observed_of((facts,))),
            new=(machine,),
            existing=(half_made,),
            sources=templates_on((facts,)),
        )


def three_pve_nodes(*, offline: str = "") -> Observed:
    facts = [replace(pve_node(name), online=name != offline) for name in ("pve1", "pve2", "pve3")]
    templates = [replace(TEMPLATE, pve_node=each.name, vmid=Vmid(9000 + turn)) for turn, each in enumerate(facts)]
    return replace(observed_of(tuple(facts)), templates=tuple(templates))


def planned(spec: ClusterSpec, observed: Observed) -> Allocation:
    return Allocation.of(ClusterView(spec, observed), machine_states(ClusterView(spec, observed)))


def placed(spec: ClusterSpec, **placement: Any) -> ClusterSpec:
    return replace(spec, placement=replace(spec.placement, **placement))


def test_workers_prefer_the_heavier_proxmox_node_until_its_room_times_weight_is_used() -> None:
    """Of 32 GiB each has 31 to give. After the server and four workers pve1's 13 count as 26: pve2 with 31 is next."""
    spec = replace(cluster(), workers=(workers(6, memory_mib=4096, cores=1),))
    spec = placed(spec, pve_nodes=(PveNodeName("pve1"), PveNodeName("pve2")), weights=((PveNodeName("pve1"), 2),))
    weighted = Counter(planned(spec, three_pve_nodes()).placement.of.values())
    level = Counter(planned(placed(spec, weights=()), three_pve_nodes()).placement.of.values())
    assert weighted == {"pve1": 5, "pve2": 2}
    assert level == {"pve1": 4, "pve2": 3}


def test_weights_do_not_bring_servers_together() -> None:
    spec = placed(cluster(servers=3, agents=0), weights=((PveNodeName("pve1"), 100),))
    assert sorted(planned(spec, three_pve_nodes()).placement.of.values()) == ["pve1", "pve2", "pve3"]


def test_a_proxmox_node_in_maintenance_gets_nothing_and_that_is_said() -> None:
    names = (PveNodeName("pve1"), PveNodeName("pve3"))
    spec = placed(cluster(servers=3), pve_nodes=names, maintenance=(PveNodeName("pve2"),))
    allocation = planned(spec, three_pve_nodes())
    assert set(allocation.placement.of.values()) == set(names)
    assert "pve2 is in maintenance (proxmox.nodes): no new machine is placed there" in allocation.notes
    crowded = replace(spec, workers=(workers(1, memory_mib=99_999),))
    with pytest.raises(CapacityError) as refused:
        planned(crowded, three_pve_nodes())
    assert "pve2: in maintenance, according to proxmox.nodes" in refused.value.details


def test_a_proxmox_node_that_is_offline_is_left_out_and_that_is_said() -> None:
    allocation = planned(cluster(servers=3), three_pve_nodes(offline="pve1"))
    assert set(allocation.placement.of.values()) == {"pve2", "pve3"}
    assert allocation.notes == ("pve1 is offline: no new machine is placed there",)
    elsewhere = placed(cluster(), pve_nodes=(PveNodeName("pve2"),))
    assert planned(elsewhere, three_pve_nodes(offline="pve1")).notes == ()


@given(machine_lists(), st.integers(0, 120), st.integers(1, 4))
def test_the_room_of_a_shared_storage_is_counted_once(
    machines: tuple[MachineSpec, ...], free_gib: int, nodes: int
) -> None:
    shared = StorageFacts(
        name=LOCAL, kind="nfs", shared=True, active=True, content=frozenset({"images"}), free_gib=free_gib
    )
    pve_nodes = tuple(
        replace(pve_node(f"pve{n}", cores=64, memory_gib=512), storages=(shared,)) for n in range(1, nodes + 1)
    )
    room_gib = free_gib - SizingSpec().storage_reserve_gib
    result = try_to_place(cluster(), pve_nodes, machines)
    assert isinstance(result, CapacityError) == (len(machines) * LINKED_CLONE_GIB > room_gib)


def test_a_template_on_shared_storage_reaches_all_that_have_it_and_no_other() -> None:
    shared = StorageFacts(name=LOCAL, kind="nfs", shared=True, active=True, content=frozenset({"images"}), free_gib=100)
    nodes = tuple(replace(pve_node(f"pve{n}"), storages=(shared,)) for n in (1, 2, 3))
    spec = replace(cluster(), template=TemplateRef(name=TEMPLATE.name))
    seen = replace(observed_of(nodes), templates=(TEMPLATE,))
    assert set(usable_templates(ClusterView(spec, seen))) == {"pve1", "pve2", "pve3"}
    asleep = replace(seen, pve_nodes=(*nodes[:2], replace(nodes[2], storages=(replace(shared, active=False),))))
    assert set(usable_templates(ClusterView(spec, asleep))) == {"pve1", "pve2"}
    local_seed = replace(TEMPLATE, storages=frozenset({LOCAL, StorageName("local-lvm")}))
    assert set(usable_templates(ClusterView(spec, replace(seen, templates=(local_seed,))))) == {"pve1"}
    own = replace(TEMPLATE, vmid=Vmid(8999), pve_node=PveNodeName("pve2"))
    both = replace(seen, templates=(TEMPLATE, own))
    with pytest.raises(PreflightError, match="2 templates match debian-12"):  # pve3 has none of its own
        usable_templates(ClusterView(spec, both))
    assert usable_templates(ClusterView(spec, replace(both, pve_nodes=nodes[:2])))[PveNodeName("pve2")] is own
    home_down = replace(seen, pve_nodes=(replace(nodes[0], online=False, storages=()), *nodes[1:]))
    with pytest.raises(PreflightError):
        usable_templates(ClusterView(spec, home_down))


def shared_template(*, own: bool = False) -> tuple[ClusterSpec, Observed]:
    """A template on shared storage of pve1; pve1 and pve2 have it and each a storage `fast` of its own."""
    shared = StorageFacts(name=LOCAL, kind="nfs", shared=True, active=True, content=frozenset({"images"}), free_gib=500)
    fast = replace(shared, name=StorageName("fast"), kind="zfspool", shared=False)
    nodes = tuple(replace(pve_node(f"pve{n}"), storages=(shared, fast)) for n in (1, 2))
    templates = (TEMPLATE, *([replace(TEMPLATE, pve_node=PveNodeName("pve2"), vmid=Vmid(9001))] if own else []))
    return cluster(servers=1, agents=3), replace(observed_of(nodes), templates=templates)


@pytest.mark.parametrize("pool_says", [False, True])
def test_full_clones_to_another_proxmox_node_need_shared_storage(pool_says: bool) -> None:
    """Proxmox VE: "can't clone to non-shared storage 'fast'"."""
    spec, observed = shared_template()
    spec = replace(spec, clone=CloneMode.FULL)
    assert set(planned(spec, observed).placement.of.values()) == {"pve1", "pve2"}
    name = StorageName("fast")
    fast = replace(spec, workers=tuple(replace(pool, storage=name) for pool in spec.workers)) if pool_says else spec
    fast = fast if pool_says else placed(fast, storage=name)
    places = planned(fast, observed).placement.of
    assert {places[MachineName(f"demo-workers-{n}")] for n in (1, 2, 3)} == {"pve1"}
    only = placed(fast, pve_nodes=(PveNodeName("pve2"),))
    with pytest.raises(PreflightError, match=r"no Proxmox node|no usable storage for") as refused:
        planned(only, observed)
    assert "fast" in refused.value.details
    assert "not shared, and full clones of the template on pve1" in refused.value.details
    _, both = shared_template(own=True)
    assert set(planned(fast, both).placement.of.values()) == {"pve1", "pve2"}


def test_linked_clones_stay_on_shared_storage_whatever_storage_is_named() -> None:
    spec, observed = shared_template()
    assert set(planned(placed(spec, storage=StorageName("fast")), observed).placement.of.values()) == {"pve1", "pve2"}


def test_a_template_on_one_of_several_proxmox_nodes_is_said() -> None:
    """Everything goes there, which nobody would expect who has three machines."""
    observed = replace(three_pve_nodes(), templates=(TEMPLATE,))
    allocation = planned(cluster(servers=3), observed)
    assert set(allocation.placement.of.values()) == {"pve1"}
    said = [note for note in allocation.notes if "cannot be cloned to it" in note]
    assert [note.split()[0] for note in said] == ["pve2", "pve3"]
    assert "build a template there too" in said[0]
    kept = placed(cluster(servers=3), pve_nodes=(PveNodeName("pve1"),))
    assert not [note for note in planned(kept, observed).notes if "cannot be cloned" in note]
