"""The lanes of the API's own address: on the server others join through first, at the end on all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bootstrap.k3s.keepalived import router_id
from bootstrap.model.ids import MachineName
from bootstrap.planning.day2_steps import ConfigureVip, RemoveVip, SpreadVip
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.plan import Gate, Lane, LaneStep
from bootstrap.planning.provision.joining import API_REACHABLE, met, met_step, ready

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


VIP_UP = Gate("vip_up")


@dataclass(frozen=True, kw_only=True)
class VipPlan:
    """What a plan does about the address.

    Attributes:
        joins: Gates before machines may join through it.
        first: Steps on the server that others join through, once its API answers.
        lanes: Of the servers that are only looked at, and of the end, when every server gets all others as peers.
    """

    joins: tuple[Gate, ...] = ()
    first: tuple[LaneStep, ...] = ()
    lanes: tuple[Lane, ...] = ()


def plan_vip(
    view: ClusterView,
    *,
    servers: Sequence[MachineState],
    through: MachineName,
    joining: Collection[MachineName] = (),
    changed: bool = False,
) -> VipPlan:
    """Have every server's keepalived serve the VIP, with all servers as peers; nothing where the inventory has none.

    Args:
        view: The cluster, as wanted and as seen.
        servers: All servers that the cluster is to have.
        through: The one that others join through.
        joining: Servers with lanes of their own.
        changed: Whether keepalived of some has other settings than are wanted.
    """
    if view.spec.vip is None:
        return VipPlan()
    names = tuple(each.name for each in servers)
    # The others' addresses are needed before the first server's peers are written: none may be forgotten in between.
    others = [each.name for each in servers if each.ready and each.name not in {*joining, through}]
    known = tuple(map(met, others))
    first = LaneStep(step=ConfigureVip(machine=through, servers=names, first=True), needs=known, opens=(VIP_UP,))
    spread = LaneStep(step=SpreadVip(servers=names), needs=(VIP_UP, *known, *map(ready, joining)))
    last = (Lane.of("vip", spread),) if len(names) > 1 or changed else ()
    return VipPlan(joins=(VIP_UP,), first=(first,), lanes=(*_looks(others), *last))


def _looks(names: Iterable[MachineName]) -> tuple[Lane, ...]:
    """The lanes of servers that are only logged in to."""
    return tuple(Lane.of(name, met_step(name)) for name in names)


def with_other_settings(view: ClusterView) -> tuple[MachineName, ...]:
    """Servers whose keepalived has another router id or VIP than is wanted, among those whose settings were read."""
    if view.spec.vip is None:
        return ()
    wanted, address = router_id(view.spec.vip, cluster=view.spec.name), view.spec.vip.address
    return tuple(
        each.machine
        for each in view.observed.settings
        if each.router_id not in (0, wanted) or each.vip not in (None, address)
    )


def left_over(view: ClusterView) -> tuple[MachineName, ...]:
    """Servers whose keepalived serves a VIP that the inventory no longer has, among those whose settings were read."""
    if view.spec.vip is not None:
        return ()
    return tuple(sorted(each.machine for each in view.observed.settings if each.vip is not None))


def vip_removal_lanes(
    view: ClusterView,
    *,
    through: MachineName,
    working: Collection[MachineName],
    after: tuple[Gate, ...],
) -> tuple[Lane, ...]:
    """The lanes that stop keepalived: last of all, once kubeconfig and agents use another address.

    Args:
        view: The cluster, as wanted and as seen.
        through: The server that the run goes through, which has a lane of its own.
        working: Machines that are created or repaired. Where those servers are among them, the next run does it.
        after: Gates before it: machines that restart with new settings, and the kubeconfig.
    """
    names = left_over(view)
    if not names or set(names) & set(working):
        return ()
    others = [name for name in names if name != through]
    needs = (API_REACHABLE, *map(met, others), *after)
    return (*_looks(others), Lane.of("vip", LaneStep(step=RemoveVip(servers=names), needs=needs)))


def without_vip(view: ClusterView) -> bool:
    """Whether no server holds the VIP, where every server that runs could be asked."""
    if view.spec.vip is None or view.observed.vip_holder is not None:
        return False
    running = {record.machine for vm, record in view.machines if vm in view.running_servers}
    return bool(running) and running <= dict(view.observed.addresses).keys()
