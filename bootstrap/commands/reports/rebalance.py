"""`rebalance`: what a re-spread of the machines over the Proxmox nodes would move."""

from __future__ import annotations

from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.preflight import check_version
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.members.existing_sizes import with_existing_sizes
from bootstrap.planning.verbs.rebalance import RebalancePlan, plan_rebalance
from bootstrap.ports import Ports


def prepare_rebalance(spec: ClusterSpec, ports: Ports) -> RebalancePlan:
    """Observe and plan. Touches nothing.

    Raises:
        PreflightError: There is no template that machines could be made of.
    """
    view = with_existing_sizes(observe_cluster(spec, ports))
    check_version(view)
    return plan_rebalance(view)
