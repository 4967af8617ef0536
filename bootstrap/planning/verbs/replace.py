"""Plans `replace`: machines are replaced by fresh clones, one after another. New machines have new names.

A machine and its successor are never one and the same: no password, certificate or disk of the old one is in the way,
and where there is room the new one works before the old one goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import repeat

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.model.machine import NodePool, RecordState, Role
from bootstrap.model.observed import Observed
from bootstrap.model.words import count
from bootstrap.planning.capacity.placement import Placement
from bootstrap.planning.checks.drift import older_inventory_notes
from bootstrap.planning.healthy_server import needed_server
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.members.foreign import foreign_notes
from bootstrap.planning.members.pool_members import Member, members, worst_first
from bootstrap.planning.members.twins import check_twins
from bootstrap.planning.members.unreachable import require_reachable
from bootstrap.planning.plan import Gate, Lane, Plan, PlannedMachine
from bootstrap.planning.plan_base import bare_plan
from bootstrap.planning.provision.decommission import (
    DrainRules,
    check_quorum,
    out_of_kubernetes,
    planned_removal,
    removal_lane,
    removed,
    why_removed,
    with_record_state,
)
from bootstrap.planning.provision.join_lanes import JoinLanes
from bootstrap.planning.provision.joining import Allocation, fetch_lane, fetched, kept, kubeconfig_lane, ready
from bootstrap.planning.provision.kept_counts import count_notes, with_kept_counts
from bootstrap.planning.provision.replacement_capacity import ReplacementPlaces, place_replacements
from bootstrap.planning.templates.machine_images import sources_for
from bootstrap.planning.view import ClusterView
from bootstrap.records.vms.lock import check_lock_place


@dataclass(frozen=True, kw_only=True)
class ReplaceOptions:
    """What is to be replaced, and how.

    Attributes:
        pool: The pool concerned.
        machines: Which of it; empty for all, or for those that an earlier run has left on their way out.
        at_once: How many at the same time; servers always one by one.
        surge: Whether the new machine comes first where there is room.
        rules: How machines are drained.
        begun: What an earlier run that did not finish was to replace, with the VMs' identities.
        noted: The pools' sizes when that began.
        asked: The pools' sizes that a `scale` that did not finish was to end with.
    """

    pool: PoolName
    machines: tuple[MachineName, ...] = ()
    at_once: int = 1
    surge: bool = True
    rules: DrainRules = field(default_factory=DrainRules)
    begun: Mapping[MachineName, str] = field(default_factory=dict)
    noted: Mapping[PoolName, int] = field(default_factory=dict)
    asked: Mapping[PoolName, int] = field(default_factory=dict)

    def kept(self, view: ClusterView) -> ClusterSpec:
        """The spec with the sizes that the pools keep."""
        return with_kept_counts(view, noted=self.noted, asked=self.asked)


def plan_replace(spec: ClusterSpec, observed: Observed, options: ReplaceOptions, *, version: str) -> Plan:
    """Plan the replacement. Every pool keeps as many machines as it has.

    The server that the plan works through cannot leave by it: it gets its successor and is marked, and leaves by a
    second plan. A note names it.

    Args:
        spec: The cluster, sizes settled.
        observed: What there is.
        options: What is to be replaced.
        version: The k3s version new machines get.

    Raises:
        PreflightError: It cannot be done; nothing was touched.
    """
    view = ClusterView(options.kept(ClusterView(spec, observed)), observed)
    going = _going(view, options)
    going.check()
    replacement = _Replacement(view=view, options=options, going=going, version=version)
    replacement.check()
    check_lock_place(view.spec, observed.vms)
    return bare_plan(
        "replace",
        view,
        machines=replacement.shown(),
        lanes=replacement.lanes() if going.all or replacement.arriving else (),
        notes=(
            *replacement.notes(),
            *count_notes(spec, view.spec, command="replace"),
            *replacement.allocation.notes,
            *older_inventory_notes(view),
            *foreign_notes(view),
        ),
    )


def seen_after(spec: ClusterSpec, observed: Observed, options: ReplaceOptions) -> Observed:
    """What would be seen once the machines that are to go are marked: from then on their successors are wanted."""
    view = ClusterView(options.kept(ClusterView(spec, observed)), observed)
    return _going(view, options).after.observed


@dataclass(frozen=True, kw_only=True)
class _Going:
    """The machines of a pool that go.

    Attributes:
        targets: Those that go by this plan, the first to go first.
        later: Those that wait for the next plan, since this one works through them.
    """

    view: ClusterView
    pool: NodePool
    targets: tuple[Member, ...]
    later: tuple[Member, ...] = ()

    @property
    def all(self) -> tuple[Member, ...]:
        """All of them."""
        return (*self.targets, *self.later)

    @property
    def is_server(self) -> bool:
        """Whether they are servers."""
        return self.pool.role is Role.CONTROL_PLANE

    @property
    def names(self) -> tuple[MachineName, ...]:
        """Those that go by this plan."""
        return tuple(member.name for member in self.targets)

    @property
    def dead(self) -> tuple[Member, ...]:
        """Servers that do not answer.

        etcd takes no new member while an old one does not answer (docs/k3s.md#joining).
        """
        return tuple(member for member in self.targets if self.is_server and not member.well)

    @cached_property
    def after(self) -> ClusterView:
        """What would be seen once they are marked."""
        names = [member.name for member in self.all]
        return replace(self.view, observed=with_record_state(self.view.observed, names, RecordState.LEAVING))

    def check(self) -> None:
        """Refuse what would lose the cluster's data, or is about machines nobody can tell apart."""
        if self.is_server:
            _check_servers(self.view, self.targets)
        check_twins(self.view, frozenset(member.name for member in self.all))
        if self.all:
            needed_server(self.view, besides=self.names)


def _going(view: ClusterView, options: ReplaceOptions) -> _Going:
    pool = next(pool for pool in view.spec.pools if pool.name == options.pool)
    there = members(view, pool)
    chosen = _named(view, there, options) if options.machines else _rest_or_all(pool, there, options)
    ordered = worst_first(chosen, len(chosen))
    well = [member for member in ordered if member.well]
    serves = any(member.well for member in there if member not in ordered)
    later = tuple(well[-1:]) if pool.role is Role.CONTROL_PLANE and not serves else ()
    return _Going(view=view, pool=pool, targets=tuple(each for each in ordered if each not in later), later=later)


def _named(view: ClusterView, there: Sequence[Member], options: ReplaceOptions) -> list[Member]:
    """The machines that were asked for and have not been replaced by an earlier run."""
    named = (member for member in there if member.name in options.machines)
    chosen = [member for member in named if not _is_successor(member, options)]
    hidden = [member.unreachable for member in chosen if member.unreachable is not None]
    require_reachable(view, what=f"{', '.join(options.machines)} cannot be replaced", of=hidden)
    return chosen


def _rest_or_all(pool: NodePool, there: Sequence[Member], options: ReplaceOptions) -> list[Member]:
    """What an earlier run has left: it was cut off, and this goes on with it; else all."""
    rest = [member for member in there if member.leaving or _is_begun(member, options)]
    if rest or _unfinished(pool, there):
        return rest
    return [member for member in there if member.unreachable is None]


@dataclass(frozen=True, kw_only=True)
class _Replacement:
    """A whole replacement; `view` has the sizes that pools keep."""

    view: ClusterView
    options: ReplaceOptions
    going: _Going
    version: str

    @cached_property
    def arriving(self) -> tuple[MachineState, ...]:
        """Machines of the pool that something is to be done about."""
        states = self.going.after.states
        return tuple(each for each in states if each.machine.pool == self.going.pool.name and each.need)

    @cached_property
    def new(self) -> tuple[MachineState, ...]:
        """Those of them that have no VM."""
        return tuple(each for each in self.arriving if each.missing)

    @property
    def at_once(self) -> int:
        """How many are replaced at the same time."""
        return 1 if self.going.is_server else max(self.options.at_once, 1)

    @cached_property
    def pairs(self) -> tuple[tuple[MachineState, Member | None], ...]:
        """Each new machine with the one it replaces. Where some have come already, the last that go have theirs."""
        return tuple(zip(self.new, (*self.going.all, *repeat(None, len(self.new))), strict=False))

    @cached_property
    def turns(self) -> ReplacementPlaces:
        """Where the new machines go."""
        machines = [each.machine for each in self.new]
        vms = (*(each.vm for each in self.going.after.states), *(member.vm for member in self.going.all))
        return place_replacements(
            self.view,
            new=machines,
            old=[member.vm if member else None for _, member in self.pairs],
            existing=[vm for vm in vms if vm is not None],
            sources=sources_for(self.view, machines),
            at_once=self.at_once,
            surge=self.options.surge,
        )

    @cached_property
    def present(self) -> tuple[MachineState, ...]:
        """The machines that are there, or come by this plan."""
        return tuple(each for each in self.going.after.states if each.shown or each in self.new)

    @cached_property
    def allocation(self) -> Allocation:
        """What the new machines are made of."""
        return Allocation.of(self.going.after, self.present, placement=Placement(of=self.turns.of))

    def check(self) -> None:
        """Refuse to make machines that may exist, unreachable."""
        pool = self.going.pool.name
        if any(each.doubtful for each in self.going.after.states if each.machine.pool == pool):
            require_reachable(self.view, what=f"no machine can be created for the pool {pool} of {self.view.spec.name}")

    def shown(self) -> tuple[PlannedMachine, ...]:
        """The machines as the plan shows them."""
        allocation, arriving = self.allocation, self.arriving
        there = [allocation.planned(each, each.reason) if each in arriving else kept(each) for each in self.present]
        leaving = (planned_removal(member, why_removed(member)) for member in self.going.all)
        return (*there, *(planned for planned in leaving if planned is not None))

    def lanes(self) -> tuple[Lane, ...]:
        """The lanes of those that come and of those that go."""
        begins, drains = self._order()
        joins = JoinLanes(
            allocation=self.allocation,
            all_states=self.going.after.states,
            work=self.arriving,
            version=self.version,
            begins=begins,
            leaving=self.going.names if self.going.is_server else (),
            before_servers=tuple(out_of_kubernetes(member.name) for member in self.going.dead),
            marks=bool(self.going.later),
        )
        return (
            *((fetch_lane(self.allocation, self.arriving, self.version),) if self.arriving else ()),
            kubeconfig_lane(self.view.spec),
            *joins.lanes(),
            *(self._departure(member, drains[member.name]) for member in self.going.targets),
        )

    def _departure(self, member: Member, drains: tuple[Gate, ...]) -> Lane:
        # Machines that an earlier run left half-way are missed until they are Ready: nobody else goes before.
        unfinished = tuple(ready(each.name) for each in self.arriving if each.vm is not None)
        at_hand = tuple(fetched(self.version, arch) for arch in self.allocation.architectures(self.arriving))
        needs = at_hand if member in self.going.dead else (*at_hand, *unfinished, *drains)
        return removal_lane(member, role=self.going.pool.role, rules=self.options.rules, needs=needs)

    def _order(self) -> tuple[dict[MachineName, tuple[Gate, ...]], dict[MachineName, tuple[Gate, ...]]]:
        """What each new machine waits for before it is cloned, and each old one before it is drained."""
        begins: dict[MachineName, tuple[Gate, ...]] = {}
        drains: dict[MachineName, tuple[Gate, ...]] = {}
        successors = {member.name: machine_state.name for machine_state, member in self.pairs if member is not None}
        going = [member.name for member in self.going.all]
        for before, name in zip((*repeat(None, self.at_once), *going), going, strict=False):
            successor = successors.get(name)
            waits = (removed(before),) if before else ()
            if successor is None:
                drains[name] = waits
            elif self.turns.surge:
                begins[successor] = waits
                drains[name] = (ready(successor),)
            else:
                drains[name] = (ready(successors[before]),) if before in successors else waits
                begins[successor] = (removed(name),)
        return begins, drains

    def notes(self) -> Iterator[str]:
        """What the user should know of who goes when."""
        for member in self.going.later:
            yield (
                f"{member.name} is the server used for all other steps: it is removed last, through one of the "
                "new servers"
            )
        if self.options.surge and not self.turns.surge and self.new:
            more = count(self.options.at_once, "machine")
            yield f"there is no room for {more} more: each goes before its successor comes"


def _is_begun(member: Member, options: ReplaceOptions) -> bool:
    """Whether an earlier run was to replace this very machine."""
    return member.name in options.begun and not _is_successor(member, options)


def _is_successor(member: Member, options: ReplaceOptions) -> bool:
    """Whether a machine only has the name of one that an earlier run has replaced: free numbers are taken again."""
    known = options.begun.get(member.name)
    return bool(known) and member.vm is not None and member.vm.identity != known


def _unfinished(pool: NodePool, there: Sequence[Member]) -> bool:
    """Whether successors of machines that have gone already are still to come: that is the end of an earlier run."""
    half_made = any(m.vm and m.vm.record and m.vm.record.state is RecordState.CLONING for m in there)
    return half_made or sum(bool(member.vm or member.unreachable) for member in there) < pool.count


def _check_servers(view: ClusterView, targets: Sequence[Member]) -> None:
    if view.on_sqlite:
        raise PreflightError(
            f"{view.spec.name} has one server with sqlite, whose data cannot be moved to another server",
            resolution=Advice(
                "`homelab-k8s scale control-plane 3` migrates it to etcd first; or: `homelab-k8s rebuild`"
            ),
        )
    check_quorum(view, going=[member.name for member in targets if not member.well])
