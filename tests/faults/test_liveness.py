"""Machines that were stopped or started a moment ago, in a lab of simulated guests: what `status` and commands make of
them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.scale import Scale
from bootstrap.errors import PreflightError
from bootstrap.events import Event, Told
from bootstrap.model.ids import PoolName
from bootstrap.waiting import reporting_to
from tests.faults.cluster import FaultyCluster
from tests.faults.labs import simulated_lab

WISH = Scale(counts={PoolName("workers"): 2})


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyCluster]:
    with simulated_lab(tmp_path_factory.mktemp("l") / "lab") as (directory, info):
        found = FaultyCluster(info, directory)
        assert found.say("up").code == 0
        yield found


def test_a_stopped_vm_is_not_ready_and_a_server_that_boots_is_waited_for(cluster: FaultyCluster) -> None:
    homelab = cluster.homelab()
    cluster.power_off("demo-workers-1")
    rows = {row.name: (row.vm, row.ready) for row in homelab.look(cluster_status).machines}
    assert rows == {"demo-cp-1": ("running", True), "demo-workers-1": ("stopped", False)}

    cluster.power_off("demo-cp-1")
    with pytest.raises(PreflightError, match="no server of demo is Ready"):
        homelab.plan(WISH)
    # However late the look is: its API is there when it has been said that it is waited for.
    cluster.faults("POST", {"fault": "api-503", "machine": "demo-cp-1"})
    cluster.power_on("demo-cp-1")
    told: list[Event] = []

    def hear(event: Event) -> None:
        told.append(event)
        cluster.faults("DELETE")

    with reporting_to(hear):
        plan = homelab.plan(WISH)
    assert "demo-workers-2" in [machine.spec.name for machine in plan.machines if machine.action == "create"]
    first = told[0]
    assert isinstance(first, Told)
    assert "demo-cp-1" in first.message
    assert "waiting up to 90 s" in first.message
