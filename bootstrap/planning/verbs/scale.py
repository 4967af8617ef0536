"""Plans `scale`: pools get the number of machines that is wanted; surplus machines are drained and removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.model.machine import CONTROL_PLANE_POOL, NodePool, RecordState, Role
from bootstrap.model.words import did_you_mean
from bootstrap.planning.checks.drift import older_inventory_notes
from bootstrap.planning.checks.protection import check_server_removal
from bootstrap.planning.day2_steps import MigrateToEtcd, Reclaim
from bootstrap.planning.healthy_server import needed_server
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.members.foreign import foreign_notes
from bootstrap.planning.members.pool_members import Member, members, staying
from bootstrap.planning.members.unreachable import require_reachable
from bootstrap.planning.plan import Action, Gate, Lane, LaneStep, Plan, PlannedMachine, steps_of
from bootstrap.planning.plan_base import bare_plan
from bootstrap.planning.provision.allocation import Allocation, unchanged
from bootstrap.planning.provision.decommission import (
    REMOVAL_BEGUN,
    DrainRules,
    check_quorum,
    out_of_kubernetes,
    planned_removal,
    removal_lane,
    why_removed,
    with_record_state,
)
from bootstrap.planning.provision.join_lanes import JoinLanes
from bootstrap.planning.provision.joining import API_REACHABLE
from bootstrap.planning.view import ClusterView


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
                resolution=f"{did_you_mean(name, known)} To have this pool, add it to the inventory first: "
                f"pools: {{{name}: {{count: {number}}}}}",
            )
        if name == CONTROL_PLANE_POOL and number % 2 == 0:
            raise PreflightError(
                f"{number} servers are not supported: etcd needs a majority, so an even number survives no more "
                "failures",
                resolution=f"{max(number - 1, 1)} or {number + 1}",
            )

    def resized(pool: NodePool) -> NodePool:
        if pool.name not in counts:
            return pool
        return replace(pool, count=counts[pool.name], stated=pool.stated | {"count"})

    return spec.with_pools(resized)


def plan_scale(view: ClusterView, *, pools: frozenset[PoolName], version: str, rules: DrainRules) -> Plan:
    """Plan to give pools their size.

    Args:
        view: The cluster, with the sizes wanted, and as seen.
        pools: The pools concerned; the others are left as they are.
        version: The k3s version for machines that join.
        rules: How machines are drained.

    Raises:
        PreflightError: It cannot be done; nothing was touched.
    """
    chosen = tuple(pool for pool in view.spec.pools if pool.name in pools)
    reclaimed = tuple(name for pool in chosen for name in _to_reclaim(view, pool))
    view = replace(view, observed=with_record_state(view.observed, reclaimed, RecordState.MADE))
    scaling = _Scaling(view=view, pools=chosen, reclaimed=reclaimed)
    scaling.check_reachable()
    notes = (*older_inventory_notes(view), *foreign_notes(view))
    if not scaling.work and not scaling.going:
        return bare_plan("scale", view, machines=scaling.shown(), notes=notes)
    servers = view.spec.control_plane
    check_server_removal(view.spec, scaling.servers_going, command=f"scale {servers.name} {servers.count}")
    scaling.check_servers()
    notes = (*scaling.allocation.notes, *notes)
    lanes = scaling.lanes(version, rules)
    plan = bare_plan("scale", view, machines=scaling.shown(), lanes=lanes, notes=notes)
    moves = what_etcd_means(plan)
    return replace(plan, notes=(moves, *plan.notes)) if moves else plan


@dataclass(frozen=True, kw_only=True)
class _Scaling:
    """How pools get their size.

    Attributes:
        view: The cluster, as if the reclaimed machines had never been marked.
        pools: The pools concerned.
        reclaimed: Machines that an interrupted run was removing, and that stay after all.
    """

    view: ClusterView
    pools: tuple[NodePool, ...]
    reclaimed: tuple[MachineName, ...]

    @cached_property
    def wanted(self) -> tuple[MachineState, ...]:
        """The wanted machines of the pools."""
        names = {pool.name for pool in self.pools}
        return tuple(each for each in self.view.states if each.machine.pool in names)

    @cached_property
    def work(self) -> tuple[MachineState, ...]:
        """Those that something is done about."""
        return tuple(each for each in self.wanted if each.name in self.reclaimed or each.need)

    @cached_property
    def going(self) -> tuple[tuple[NodePool, Member], ...]:
        """The surplus machines, with their pools."""
        return tuple((pool, member) for pool in self.pools for member in _to_go(self.view, pool))

    @property
    def servers_going(self) -> tuple[MachineName, ...]:
        """The servers among them."""
        return tuple(member.name for pool, member in self.going if pool.role is Role.CONTROL_PLANE)

    @cached_property
    def allocation(self) -> Allocation:
        """What new machines get."""
        others = (each for each in self.view.states if each.shown)
        return Allocation.of(self.view, [*others, *(each for each in self.work if each.missing)])

    def check_reachable(self) -> None:
        """Refuse to add machines that may exist, and to choose which to remove, while machines are unreachable."""
        name = self.view.spec.name
        if any(each.doubtful for each in self.wanted):
            require_reachable(self.view, what=f"no machine can be added to {name}")
        shrinking = {pool.name: pool for pool, member in self.going if not member.leaving}
        if shrinking:
            there = (member for pool in shrinking.values() for member in members(self.view, pool))
            of = [member.unreachable for member in there if member.unreachable is not None]
            require_reachable(
                self.view, what=f"no machine of {name} can be removed", of=[*of, *self.view.unreachable.unnamed]
            )

    def check_servers(self) -> None:
        """Refuse what etcd cannot bear, and what no server is there for."""
        check_quorum(self.view, going=self.servers_going)
        needed_server(self.view, besides=(*self.servers_going, *self.reclaimed))
        _check_joinable(self.view, self.work, self.servers_going)

    def shown(self) -> tuple[PlannedMachine, ...]:
        """Machines as the plan shows them; one that lacks its VM and is not concerned is not shown."""
        staying = (
            self.allocation.planned(each, REMOVAL_BEGUN if each.name in self.reclaimed else each.reason)
            if each in self.work
            else unchanged(each)
            for each in self.view.states
            if each in self.work or each.shown
        )
        gone = (planned_removal(member, why_removed(member)) for _, member in self.going)
        return (*staying, *filter(None, gone))

    def lanes(self, version: str, rules: DrainRules) -> tuple[Lane, ...]:
        """The lanes of machines that are added, reclaimed and removed."""
        joins = JoinLanes(
            allocation=self.allocation,
            work=[each for each in self.work if each.name not in self.reclaimed],
            version=version,
            migrates=self.view.spec.control_plane.count > 1 and self.view.on_sqlite,
            leaving=self.servers_going,
            besides=self.reclaimed,
        )
        return (
            *joins.lanes(),
            *(Lane.of(name, LaneStep(step=Reclaim(machine=name), needs=(API_REACHABLE,))) for name in self.reclaimed),
            *_removals(self.going, rules),
        )


def what_etcd_means(plan: Plan) -> str:
    """What moving a single server's data to etcd means for the user; empty for a plan without that."""
    moved = steps_of(plan, MigrateToEtcd)
    if not moved:
        return ""
    servers = sum(each.spec.role is Role.CONTROL_PLANE and each.action is not Action.DESTROY for each in plan.machines)
    return Advice(
        "the datastore of {} moves from SQLite to etcd: k3s on {} restarts, and the API is unavailable until it is up; "
        "from then on {} of the {} servers must be running; the only way back to SQLite is to restore a backup into "
        "a new cluster (`homelab-k8s backup` first)",
        plan.cluster,
        moved[0].machine.name,
        servers // 2 + 1,
        servers,
    )


def _check_joinable(view: ClusterView, work: Sequence[MachineState], going: Sequence[MachineName]) -> None:
    """Refuse new servers while one that stays does not answer: etcd accepts no new member then.

    Source: docs/k3s.md#joining.
    """
    new = [each.name for each in work if each.is_server and each.kube_node is None]
    dead = [each.name for each in view.etcd_members if not each.ready and each.name not in going]
    if new and dead:
        raise PreflightError(
            f"{', '.join(dead)} of {view.spec.name} is not Ready: etcd accepts no new member until it is; nothing was "
            "changed",
            details=f"{', '.join(new)} would have to wait for it",
            resolution=Advice("`homelab-k8s up` repairs it, or `homelab-k8s replace {}` replaces it", dead[0]),
        )


def _to_reclaim(view: ClusterView, pool: NodePool) -> tuple[MachineName, ...]:
    """Machines that an interrupted run was removing, and that the pool needs after all."""
    lacking = pool.count - len(staying(view, pool))
    leaving = (member for member in members(view, pool) if member.leaving)
    fit = [member.name for member in leaving if member.well and member.name not in view.replaced_names]
    return tuple(fit[: max(lacking, 0)])


def _to_go(view: ClusterView, pool: NodePool) -> tuple[Member, ...]:
    stay = {member.name for member in staying(view, pool)}
    return tuple(member for member in members(view, pool) if member.name not in stay)


def _removals(going: Sequence[tuple[NodePool, Member]], rules: DrainRules) -> Iterator[Lane]:
    """The lanes of surplus machines.

    etcd's members leave one at a time, so that it always knows how many make a majority.
    """
    previous: tuple[Gate, ...] = ()
    for pool, member in going:
        is_server = pool.role is Role.CONTROL_PLANE
        yield removal_lane(member, role=pool.role, rules=rules, needs=previous if is_server else ())
        if is_server:
            previous = (out_of_kubernetes(member.name),)
