"""The lanes of the API's own address: on the server others join through first, at the end on all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bootstrap.k3s.keepalived import router_id
from bootstrap.model.ids import MachineName
from bootstrap.planning.day2_steps import ConfigureVip, RemoveVip, SpreadVip
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.plan import Gate, Lane, LaneStep
from bootstrap.planning.provision.joining import API_REACHABLE, ready
from bootstrap.planning.steps import AwaitGuest

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


VIP_UP = Gate("vip_up")


@dataclass(frozen=True, kw_only=True)
class VipPlan:
    """What a plan does about the address.

    Attributes:
        joins: Gates before machines may join through it.
        first: Steps on the server that others join through, once its API answers.
        lanes: Of the servers that are only looked at, and of the end, when every server is told of all others.
    """

    joins: tuple[Gate, ...] = ()
    first: tuple[LaneStep, ...] = ()
    lanes: tuple[Lane, ...] = ()


def plan_vip(
    view: ClusterView,
    *,
    servers: Sequence[MachineState],
    through: MachineName,
    arriving: Collection[MachineName],
    leaving: bool = False,
    changed: bool = False,
) -> VipPlan:
    """Plan the address.

    Args:
        view: The cluster, as wanted and as seen.
        servers: All servers that the cluster is to have.
        through: The one that others join through.
        arriving: Servers with lanes of their own.
        leaving: Whether servers go, so that the others are to forget them.
        changed: Whether keepalived of some has other settings than are wanted.
    """
    stays = view.observed.vip_holder is not None and not (arriving or leaving or changed)
    if view.spec.vip is None or stays:
        return VipPlan()
    names = tuple(machine_state.name for machine_state in servers)
    # The others' addresses are needed before the first server's peers are written: none may be forgotten in between.
    own = {*arriving, through}
    known = {each.name: Gate("guest_known", each.name) for each in servers if each.ready and each.name not in own}
    first = LaneStep(
        step=ConfigureVip(machine=through, servers=names, first=True), needs=tuple(known.values()), opens=(VIP_UP,)
    )
    looks = _looks(known)
    after = (VIP_UP, *known.values(), *map(ready, arriving))
    spread = Lane(name="vip", steps=(LaneStep(step=SpreadVip(servers=names), needs=after),))
    return VipPlan(joins=(VIP_UP,), first=(first,), lanes=(*looks, spread) if len(names) > 1 or changed else looks)


def _looks(known: Mapping[MachineName, Gate]) -> tuple[Lane, ...]:
    """The lanes of servers that are only logged in to, each with the gate it opens."""
    return tuple(
        Lane(name=name, steps=(LaneStep(step=AwaitGuest(machine=name), opens=(gate,)),)) for name, gate in known.items()
    )


def with_other_settings(view: ClusterView) -> tuple[MachineName, ...]:
    """Servers whose keepalived has another router id or VIP than is wanted, of those that were looked into."""
    if view.spec.vip is None:
        return ()
    wanted, address = router_id(view.spec.vip, cluster=view.spec.name), view.spec.vip.address
    return tuple(
        each.machine
        for each in view.observed.settings
        if each.router_id not in (0, wanted) or each.vip not in (None, address)
    )


def left_over(view: ClusterView) -> tuple[MachineName, ...]:
    """Servers whose keepalived serves a VIP that the inventory has no more, of those that were looked into."""
    if view.spec.vip is not None:
        return ()
    return tuple(sorted(each.machine for each in view.observed.settings if each.vip is not None))


def removal_lanes(
    view: ClusterView,
    *,
    through: MachineName,
    working: Collection[MachineName],
    after: tuple[Gate, ...],
) -> tuple[Lane, ...]:
    """The lanes that end keepalived: last of all, since kubeconfig and agents have to go another way before.

    Args:
        view: The cluster, as wanted and as seen.
        through: The server that the run goes through, which has a lane of its own.
        working: Machines that are made or repaired. Where servers are among those, the next run does it.
        after: Gates before it: machines that restart with new settings, and the kubeconfig.
    """
    names = left_over(view)
    if not names or set(names) & set(working):
        return ()
    known = {name: Gate("guest_known", name) for name in names if name != through}
    needs = (API_REACHABLE, *known.values(), *after)
    return (*_looks(known), Lane(name="vip", steps=(LaneStep(step=RemoveVip(servers=names), needs=needs),)))


def without_vip(view: ClusterView) -> bool:
    """Whether nobody has the API's own address, where every server that runs could be asked."""
    asked = dict(view.observed.addresses)
    running = [record.machine for vm, record in view.machines if vm in view.running_servers]
    return bool(
        view.spec.vip and view.observed.vip_holder is None and running and all(name in asked for name in running)
    )
