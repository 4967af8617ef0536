"""Plans of `rebuild`: nothing goes before what is kept is here and noted; what comes is what was."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.errors import HomelabError
from bootstrap.model.cluster import ClusterSpec, KeptMachine, NetworkSpec, StaticAddresses
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.model.machine import CONTROL_PLANE_POOL, RecordState
from bootstrap.model.observed import Observed
from bootstrap.planning.day2_steps import NoteRebuild, RestoreSnapshot, SaveIdentity, TakeSnapshot
from bootstrap.planning.healthy_server import needed_server
from bootstrap.planning.members.desired_machines import wanted_machines
from bootstrap.planning.members.existing_sizes import with_existing_sizes
from bootstrap.planning.steps import DestroyVm, FetchK3s, StopVm
from bootstrap.planning.verbs.rebuild import (
    corrected,
    correction_notes,
    kept_machines,
    plan_teardown,
    pool_sizes,
    with_rebuild,
    without_machines,
)
from bootstrap.planning.verbs.up import plan_up
from bootstrap.planning.view import ClusterView
from bootstrap.records.state.rebuild_note import PoolSize, RebuildNote, Stage, parse_rebuild, render_rebuild
from tests.fakes.seen import seen, vm
from tests.fakes.specs import cluster, control_plane, workers
from tests.fakes.world.facts import VERSION
from tests.unit.planning.test_scale_and_replace import order

NAMES = st.from_regex(r"[a-z]{1,8}-[1-9]", fullmatch=True).map(MachineName)
KEPT = st.builds(
    KeptMachine,
    name=NAMES,
    pool=st.sampled_from([CONTROL_PLANE_POOL, PoolName("workers")]),
    mac=st.none() | st.just("BC:24:11:00:00:01"),
    address=st.none() | st.ip_addresses(v=4),
)
SIZES = st.builds(
    PoolSize,
    pool=st.just(PoolName("workers")),
    count=st.integers(0, 9),
    cores=st.integers(1, 9),
    memory_mib=st.integers(512, 9000),
    disk_gib=st.integers(1, 99),
)
REBUILDS = st.builds(
    RebuildNote,
    stage=st.sampled_from(list(Stage)),
    version=st.just(VERSION),
    pools=st.lists(SIZES, max_size=2).map(tuple),
    kept=st.lists(KEPT, max_size=3).map(tuple),
    snapshot=st.none() | st.just(Path("/saved/rebuild-demo-cp-1-1")),
)


@given(REBUILDS)
def test_a_note_reads_as_it_was_written(rebuild: RebuildNote) -> None:
    assert parse_rebuild(render_rebuild(rebuild)) == rebuild


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}', '{"format": 1, "stage": "sideways"}'])
def test_a_damaged_note_says_what_to_do(text: str) -> None:
    with pytest.raises(HomelabError, match="its file in the state directory cannot be read") as caught:
        parse_rebuild(text)
    assert "remove the file" in caught.value.resolution


def gaps() -> Observed:
    """A server and workers 2 and 5."""
    return seen(vm(control_plane(), 1), vm(workers(), 2), vm(workers(), 5))


def unsaid() -> ClusterSpec:
    """An inventory that says nothing of the workers' number."""
    spec = cluster(agents=1)
    return replace(spec, workers=(replace(spec.workers[0], stated=frozenset()),))


def noted(spec: ClusterSpec, observed: Observed) -> RebuildNote:
    return RebuildNote(
        stage=Stage.TEARING_DOWN,
        version=VERSION,
        pools=pool_sizes(with_existing_sizes(ClusterView(spec, observed)).spec),
        kept=kept_machines(ClusterView(spec, observed)),
    )


def test_nothing_goes_before_what_is_kept_is_here_and_noted() -> None:
    spec, observed = unsaid(), gaps()
    through = needed_server(ClusterView(spec, observed))
    saves = (TakeSnapshot(machine=through.name, name="rebuild", to=Path("/saved")), SaveIdentity(machine=through.name))
    rebuild = noted(spec, observed)
    coming = plan_up(
        ClusterView(with_rebuild(rebuild, spec), without_machines(ClusterView(spec, observed))), version=VERSION
    )
    steps = order(plan_teardown(ClusterView(spec, observed), rebuild, coming=coming, through=through, saves=saves))
    kinds = [type(step) for step in steps]
    note = kinds.index(NoteRebuild)
    assert max(kinds.index(TakeSnapshot), kinds.index(SaveIdentity)) < note < kinds.index(StopVm)
    assert kinds.count(DestroyVm) == 3
    assert kinds.index(FetchK3s) < note


def test_what_comes_has_the_old_names_and_numbers() -> None:
    spec, observed = unsaid(), gaps()
    after = without_machines(ClusterView(spec, observed))
    coming = with_rebuild(noted(spec, observed), spec)
    assert [machine.name for machine in wanted_machines(ClusterView(coming, after))] == [
        "demo-cp-1",
        "demo-workers-2",
        "demo-workers-5",
    ]


def test_fixed_addresses_come_back_though_others_would_be_first() -> None:
    addresses = StaticAddresses(
        first=IPv4Address("192.0.2.10"), last=IPv4Address("192.0.2.20"), subnet=IPv4Network("192.0.2.0/24")
    )
    kept = (KeptMachine(name=MachineName("demo-cp-1"), pool=CONTROL_PLANE_POOL, address=IPv4Address("192.0.2.17")),)
    spec = replace(cluster(agents=1), network=NetworkSpec(addresses=addresses), kept=kept)
    found = {machine.name: str(machine.address) for machine in wanted_machines(ClusterView(spec, seen()))}
    assert found == {"demo-cp-1": "192.0.2.17", "demo-workers-1": "192.0.2.10"}


def test_the_first_server_gets_the_snapshots_data_as_long_as_none_serves() -> None:
    spec = cluster(agents=1)
    saved = Path("/saved/rebuild-demo-cp-1-1")
    steps = order(plan_up(ClusterView(spec, seen()), version=VERSION, restore=saved))
    assert [step.source for step in steps if isinstance(step, RestoreSnapshot)] == [saved]
    serving = seen(vm(control_plane(), 1))
    steps = order(plan_up(ClusterView(spec, serving), version=VERSION, restore=saved))
    assert not [step for step in steps if isinstance(step, RestoreSnapshot)]


def test_machines_whose_identity_is_kept_all_come_back_whatever_the_inventory_says() -> None:
    spec, observed = cluster(agents=1), seen(*(vm(workers(), n) for n in (1, 2, 3)), vm(control_plane(), 1))
    coming = with_rebuild(noted(spec, observed), spec)
    names = [
        machine.name for machine in wanted_machines(ClusterView(coming, without_machines(ClusterView(spec, observed))))
    ]
    assert names == ["demo-cp-1", "demo-workers-1", "demo-workers-2", "demo-workers-3"]


def test_one_on_its_way_out_does_not_come_back() -> None:
    observed = seen(vm(control_plane(), 1), vm(workers(), 1, state=RecordState.LEAVING), vm(workers(), 2))
    assert [machine.name for machine in kept_machines(ClusterView(cluster(agents=1), observed))] == [
        "demo-cp-1",
        "demo-workers-2",
    ]


def test_the_version_that_the_inventory_states_corrects_what_is_noted() -> None:
    spec = cluster(agents=1)
    rebuild = noted(spec, gaps())
    assert corrected(rebuild, spec) == rebuild
    stated = replace(spec, k3s=replace(spec.k3s, version="v1.34.1+k3s1"))
    now = corrected(rebuild, stated)
    assert now.version == "v1.34.1+k3s1"
    (line,) = correction_notes(rebuild, now)
    assert VERSION in line
    assert "v1.34.1+k3s1" in line
