"""Plans `scale`: pools get as many machines as they are to have; what is too many leaves in good order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.model.machine import CONTROL_PLANE_POOL, NodePool, RecordState, Role
from bootstrap.model.observed import Observed, UnseenVm
from bootstrap.planning.checks.drift import older_inventory_notes
from bootstrap.planning.day2_steps import MigrateToEtcd, Reclaim
from bootstrap.planning.healthy_server import needed_server
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.members.foreign import strangers_notes
from bootstrap.planning.members.out_of_sight import require_sight
from bootstrap.planning.members.pool_members import Member, members, staying
from bootstrap.planning.plan import Action, Gate, Lane, LaneStep, Plan, PlannedMachine, steps_of
from bootstrap.planning.plan_base import bare_plan
from bootstrap.planning.provision.decommission import (
    DrainRules,
    check_quorum,
    departing,
    departure_lane,
    leaving_members,
    marked,
    out_of_kubernetes,
    why_goes,
)
from bootstrap.planning.provision.joining import API_REACHABLE, Making, fetch_lane, kept, kubeconfig_lane
from bootstrap.planning.verbs.up import join_lanes
from bootstrap.planning.view import ClusterView
from bootstrap.records.lock import check_lock_place


def with_counts(spec: ClusterSpec, counts: dict[PoolName, int]) -> ClusterSpec:
    """The spec with other sizes of some pools.

    Raises:
        PreflightError: There is no such pool, or the control plane would have an even number of servers.
    """
    known = {pool.name for pool in spec.pools}
    for name, number in counts.items():
        if name not in known:
            raise PreflightError(
                f"{spec.name} has no pool {name}",
                details=f"its pools: {', '.join(known)}",
                resolution=f"add it to the inventory first: pools: {{{name}: {{count: {number}}}}}",
            )
        if name == CONTROL_PLANE_POOL and number % 2 == 0:
            raise PreflightError(
                f"{number} servers make no sense: etcd needs a majority, so an even number bears no more losses",
                resolution=f"{max(number - 1, 1)} or {number + 1}",
            )

    def resized(pool: NodePool) -> NodePool:
        if pool.name not in counts:
            return pool
        return replace(pool, count=counts[pool.name], stated=pool.stated | {"count"})

    return replace(spec, control_plane=resized(spec.control_plane), workers=tuple(map(resized, spec.workers)))


def plan_scale(
    spec: ClusterSpec, observed: Observed, *, pools: frozenset[PoolName], version: str, rules: DrainRules
) -> Plan:
    """Plan what it takes for pools to have their size.

    Args:
        spec: With the sizes wanted.
        observed: What there is.
        pools: The pools concerned; the others are left as they are.
        version: The k3s version for machines that join.
        rules: How machines are drained.

    Raises:
        PreflightError: It cannot be done; nothing was touched.
    """
    chosen = [pool for pool in spec.pools if pool.name in pools]
    reclaimed = tuple(name for pool in chosen for name in _to_reclaim(ClusterView(spec, observed), pool))
    observed = marked(observed, reclaimed, RecordState.MADE)
    all_states = ClusterView(spec, observed).states
    work = [
        machine_state
        for machine_state in all_states
        if machine_state.machine.pool in pools and (machine_state.machine.name in reclaimed or machine_state.need)
    ]
    going = tuple((pool, member) for pool in chosen for member in _to_go(ClusterView(spec, observed), pool))
    _check_sight(ClusterView(spec, observed), all_states, chosen, going)
    also = (*older_inventory_notes(ClusterView(spec, observed)), *strangers_notes(ClusterView(spec, observed)))
    if not work and not going:
        return bare_plan("scale", ClusterView(spec, observed), machines=_shown(all_states, (), ()), notes=also)
    servers_going = [member.name for pool, member in going if pool.role is Role.CONTROL_PLANE]
    check_quorum(ClusterView(spec, observed), going=servers_going)
    needed_server(ClusterView(spec, observed), besides=(*servers_going, *reclaimed))
    _check_joinable(ClusterView(spec, observed), work, servers_going)
    making = Making.of(ClusterView(spec, observed), [*(s for s in all_states if s.shown), *_missing(work)])
    check_lock_place(spec, observed.vms)
    planned = _shown(all_states, tuple(making.planned(s, _reason(s, reclaimed)) for s in work), going)
    arrivals = [machine_state for machine_state in work if machine_state.machine.name not in reclaimed]
    lanes = (
        *((fetch_lane(making, arrivals, version),) if arrivals else ()),
        kubeconfig_lane(spec),
        *join_lanes(
            making,
            all_states,
            arrivals,
            version,
            migrates=_migrates(ClusterView(spec, observed)),
            leaving=servers_going,
            besides=reclaimed,
        ),
        *(_reclaim_lane(name) for name in reclaimed),
        *_departures(going, rules),
    )
    plan = bare_plan("scale", ClusterView(spec, observed), machines=planned, lanes=lanes, notes=(*making.notes, *also))
    moves = what_etcd_means(plan)
    return replace(plan, notes=(moves, *plan.notes)) if moves else plan


def what_etcd_means(plan: Plan) -> str:
    """What the move of a single server's data to etcd means for the user; empty for a plan without one."""
    moved = steps_of(plan, MigrateToEtcd)
    if not moved:
        return ""
    servers = sum(each.spec.role is Role.CONTROL_PLANE and each.action is not Action.DESTROY for each in plan.machines)
    return Advice(
        "the datastore of {} moves from SQLite to etcd: k3s on {} restarts, and the "
        "API is away meanwhile; {} of the {} servers have to run from then on; there is no way "
        "back to SQLite but restoring a backup into a new cluster (`homelab-k8s backup` first)",
        plan.cluster,
        moved[0].machine.name,
        servers // 2 + 1,
        servers,
    )


def _check_sight(
    view: ClusterView,
    all_states: Sequence[MachineState],
    chosen: Sequence[NodePool],
    going: Sequence[tuple[NodePool, Member]],
) -> None:
    """Refuse to add what may be there out of sight, and to choose who goes where not all can be asked."""
    sight = view.sight
    pools = [pool.name for pool in chosen]
    if any(s.machine.pool in pools and s.vm is None and s.held and not s.unseen_by_name for s in all_states):
        require_sight(view, what=f"no machine can be added to {view.spec.name}")
    shrinking = {pool.name for pool, member in going if not member.leaving}
    of = [vm for pool in chosen for vm in _hidden(view, pool) if pool.name in shrinking]
    if shrinking:
        require_sight(view, what=f"no machine of {view.spec.name} can be removed", of=[*of, *sight.unnamed])


def _hidden(view: ClusterView, pool: NodePool) -> list[UnseenVm]:
    return [member.unseen for member in members(view, pool) if member.unseen is not None]


def _check_joinable(view: ClusterView, work: Sequence[MachineState], going: Sequence[MachineName]) -> None:
    """Refuse new servers while a server that is to stay does not answer: etcd takes no new member then.

    Source: docs/k3s.md#joining.
    """
    new = [s.machine.name for s in work if s.machine.role is Role.CONTROL_PLANE and s.kube_node is None]
    dead = [
        kube_node.name
        for kube_node in view.observed.kube_nodes or ()
        if "etcd" in kube_node.roles and not kube_node.ready and kube_node.name not in going
    ]
    if new and dead:
        raise PreflightError(
            f"{', '.join(dead)} of {view.spec.name} is not Ready: etcd takes no new member until it is; "
            "nothing was changed",
            details=f"{', '.join(new)} would have to wait for it",
            resolution=Advice(
                "`homelab-k8s up` brings it back, or `homelab-k8s replace {}` puts another in its place", dead[0]
            ),
        )


def _to_reclaim(view: ClusterView, pool: NodePool) -> tuple[MachineName, ...]:
    """Machines on their way out that may as well stay, since the pool is to have more than are left."""
    lacking = pool.count - len(staying(view, pool))
    succeeded = {old.machine for old in view.stood_in_for}
    leaving = leaving_members(view, pool)
    fit = [member for member in leaving if member.well and member.name not in succeeded]
    return tuple(member.name for member in fit[: max(lacking, 0)])


def _to_go(view: ClusterView, pool: NodePool) -> tuple[Member, ...]:
    stay = {member.name for member in staying(view, pool)}
    return tuple(member for member in members(view, pool) if member.name not in stay)


def _migrates(view: ClusterView) -> bool:
    """Whether the one server there is has sqlite, and is to get company."""
    return view.spec.control_plane.count > 1 and view.on_sqlite


def _missing(work: Sequence[MachineState]) -> list[MachineState]:
    return [machine_state for machine_state in work if machine_state.missing]


def _reason(machine_state: MachineState, reclaimed: Sequence[MachineName]) -> str:
    return "removal was already in progress" if machine_state.machine.name in reclaimed else machine_state.reason


def _shown(
    all_states: Sequence[MachineState],
    worked: tuple[PlannedMachine, ...],
    going: Sequence[tuple[NodePool, Member]],
) -> tuple[PlannedMachine, ...]:
    """Machines as the plan shows them; one that lacks its VM and is not concerned is not shown."""
    by_name = {planned.spec.name: planned for planned in worked}
    rest = [by_name.get(s.machine.name) or (kept(s) if s.shown else None) for s in all_states]
    gone = [departing(member, why_goes(member)) for _, member in going]
    return tuple(planned for planned in (*rest, *gone) if planned is not None)


def _reclaim_lane(name: MachineName) -> Lane:
    return Lane(name=name, steps=(LaneStep(step=Reclaim(machine=name), needs=(API_REACHABLE,)),))


def _departures(going: Sequence[tuple[NodePool, Member]], rules: DrainRules) -> tuple[Lane, ...]:
    lanes = []
    previous: tuple[Gate, ...] = ()
    for pool, member in going:
        is_server = pool.role is Role.CONTROL_PLANE
        # etcd's members leave one at a time, so that it always knows how many make a majority.
        needs = previous if is_server else ()
        lanes.append(departure_lane(member, role=pool.role, rules=rules, needs=needs))
        if is_server:
            previous = (out_of_kubernetes(member.name),)
    return tuple(lanes)
