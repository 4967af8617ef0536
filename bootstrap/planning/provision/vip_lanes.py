"""The lanes of the API's own address: on the server others join through first, at the end on all of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bootstrap.k3s.keepalived import router_id
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Role
from bootstrap.planning.day2_steps import ConfigureVip, RemoveVip, SpreadVip
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.plan import Gate, Lane, LaneStep
from bootstrap.planning.provision.joining import API_REACHABLE
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
    arriving: Sequence[tuple[MachineName, Gate]],
    leaving: bool = False,
    changed: bool = False,
) -> VipPlan:
    """Plan the address.

    Args:
        view: The cluster, as wanted and as seen.
        servers: All servers that the cluster is to have.
        through: The one that others join through.
        arriving: Servers with lanes of their own, and the gate each opens when it is Ready.
        leaving: Whether servers go, so that the others are to forget them.
        changed: Whether keepalived of some has other settings than are wanted.
    """
    if view.spec.vip is None or (view.observed.vip_holder is not None and not arriving and not leaving and not changed):
        return VipPlan()
    names = tuple(machine_state.machine.name for machine_state in servers)
    own = {name for name, _ in arriving}
    # The others' addresses are needed before the first server's peers are written: none may be forgotten in between.
    looked_at = tuple(
        machine_state.machine.name
        for machine_state in servers
        if machine_state.machine.name not in own
        and machine_state.machine.name != through
        and machine_state.machine.role is Role.CONTROL_PLANE
        and machine_state.kube_node is not None
        and machine_state.kube_node.ready
    )
    known = tuple(Gate("guest_known", name) for name in looked_at)
    first = LaneStep(step=ConfigureVip(machine=through, servers=names, first=True), needs=known, opens=(VIP_UP,))
    looks = tuple(
        Lane(name=name, steps=(LaneStep(step=AwaitGuest(machine=name), opens=(gate,)),))
        for name, gate in zip(looked_at, known, strict=True)
    )
    after = (VIP_UP, *known, *(gate for _, gate in arriving))
    spread = Lane(name="vip", steps=(LaneStep(step=SpreadVip(servers=names), needs=after),))
    return VipPlan(joins=(VIP_UP,), first=(first,), lanes=(*looks, spread) if len(names) > 1 or changed else looks)


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
    known = tuple((name, Gate("guest_known", name)) for name in names if name != through)
    looks = tuple(
        Lane(name=name, steps=(LaneStep(step=AwaitGuest(machine=name), opens=(gate,)),)) for name, gate in known
    )
    needs = (API_REACHABLE, *(gate for _, gate in known), *after)
    return (*looks, Lane(name="vip", steps=(LaneStep(step=RemoveVip(servers=names), needs=needs),)))


def without_vip(view: ClusterView) -> bool:
    """Whether nobody has the API's own address, where every server that runs could be asked."""
    asked = dict(view.observed.addresses)
    running = [record.machine for vm, record in view.machines if vm in view.running_servers]
    return bool(
        view.spec.vip and view.observed.vip_holder is None and running and all(name in asked for name in running)
    )
