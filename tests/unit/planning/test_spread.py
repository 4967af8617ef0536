"""Whether the Kubernetes API outlives the loss of a Proxmox node."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.model.ids import MachineName, PveNodeName, Vmid
from bootstrap.planning.checks.doctor import Verdict
from bootstrap.planning.checks.runtime import check_spread
from bootstrap.planning.view import ClusterView
from tests.fakes.seen import seen
from tests.fakes.specs import cluster
from tests.fakes.world import pve_node
from tests.unit.planning.test_texts import RECORD, VM

NAMES = ("pve1", "pve2", "pve3", "pve4")


def view(servers: tuple[str, ...], *, online: tuple[str, ...] = NAMES) -> ClusterView:
    vms = tuple(
        replace(
            VM,
            vmid=Vmid(7000 + n),
            pve_node=PveNodeName(where),
            doubt="",
            record=replace(RECORD, machine=MachineName(f"demo-cp-{n + 1}"), vmid=Vmid(7000 + n)),
        )
        for n, where in enumerate(servers)
    )
    nodes = tuple(replace(pve_node(name), online=name in online) for name in NAMES)
    return ClusterView(cluster(servers=len(servers) or 1), replace(seen(), pve_nodes=nodes, vms=vms))


@pytest.mark.parametrize(
    ("servers", "online", "verdict", "says"),
    [
        ((), NAMES, Verdict.SKIPPED, "there is no server yet"),
        (("pve1",), NAMES, Verdict.OK, "1 server: three can outlive the loss of a Proxmox node"),
        (("pve1",) * 3, ("pve1", "pve2"), Verdict.OK, "3 servers on 2 Proxmox nodes: too few nodes"),
        (("pve1", "pve2", "pve1"), ("pve1", "pve2", "pve3"), Verdict.WARNING, "2 of 3 servers are on pve1"),
        (("pve1", "pve2", "pve3"), NAMES, Verdict.OK, "outlives the loss of any of them"),
    ],
)
def test_the_worst_loss_is_named(
    servers: tuple[str, ...], online: tuple[str, ...], verdict: Verdict, says: str
) -> None:
    found = check_spread(view(servers, online=online))
    assert found.verdict is verdict
    assert says in found.says


@given(st.lists(st.sampled_from(NAMES), min_size=3, max_size=5), st.sets(st.sampled_from(NAMES), min_size=1))
def test_it_warns_where_and_only_where_another_placement_would_hold(servers: list[str], online: set[str]) -> None:
    spare = (len(servers) - 1) // 2

    def holds(places: tuple[str, ...]) -> bool:
        return max(Counter(places).values()) <= spare

    better = any(holds(places) for places in product(sorted(online), repeat=len(servers)))
    found = check_spread(view(tuple(servers), online=tuple(online)))
    assert (found.verdict is Verdict.WARNING) == (better and not holds(tuple(servers)))


def test_nodes_that_the_control_plane_may_not_use_do_not_count() -> None:
    seen_there = view(("pve1",) * 3)
    pool = replace(seen_there.spec.control_plane, pve_nodes=(PveNodeName("pve1"),))
    found = check_spread(replace(seen_there, spec=replace(seen_there.spec, control_plane=pool)))
    assert found.verdict is Verdict.OK
    assert "3 servers on 1 Proxmox node: too few" in found.says
