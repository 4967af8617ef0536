"""The server that an existing cluster is reached through."""

from __future__ import annotations

from collections.abc import Collection

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec, RecordState
from bootstrap.planning.members.desired_machines import machine_of
from bootstrap.planning.view import ClusterView


def healthy_server(view: ClusterView, *, besides: Collection[MachineName] = ()) -> MachineSpec | None:
    """A server that is Ready and whose VM runs: others join through it. None where no API answers.

    One that stays is preferred to one that is being removed.

    Args:
        view: The cluster, as wanted and as seen.
        besides: Servers that are not taken.
    """
    ready = {each.name for each in view.kube_servers if each.ready and each.name not in besides} - view.twins.keys()
    candidates = sorted(
        (record.state is RecordState.LEAVING, record.machine, machine_of(vm, record))
        for vm, record in view.machines
        if not vm.idle and record.machine in ready
    )
    return candidates[0][2] if candidates else None


def needed_server(view: ClusterView, *, besides: Collection[MachineName] = ()) -> MachineSpec:
    """A healthy server, for what cannot be done without one.

    Raises:
        PreflightError: There is none.
    """
    server = healthy_server(view, besides=besides)
    if server is None:
        raise PreflightError(
            f"no server of {view.spec.name} is Ready, so nothing can be changed",
            details=view.observed.kube_problem or "its API answers, but no control plane node is Ready on a running VM",
            resolution=Advice("check with `homelab-k8s status`; `homelab-k8s up` repairs servers"),
        )
    return server
