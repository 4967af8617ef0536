"""Plans `replace`: machines are replaced by fresh clones, one after another. New machines have new names.

So no password, certificate or disk of the old machine is in the way of the new one, and where there is room the new one
works before the old one is removed.
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
from bootstrap.model.words import count
from bootstrap.planning.capacity.placement import Placement
from bootstrap.planning.checks.drift import older_inventory_notes
from bootstrap.planning.checks.protection import check_server_removal
from bootstrap.planning.healthy_server import needed_server
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.members.foreign import foreign_notes
from bootstrap.planning.members.pool_members import Member, members, worst_first
from bootstrap.planning.members.twins import check_twins
from bootstrap.planning.members.unreachable import require_reachable
from bootstrap.planning.plan import Gate, Lane, Plan, PlannedMachine
from bootstrap.planning.plan_base import bare_plan
from bootstrap.planning.provision.allocation import Allocation, unchanged
from bootstrap.planning.provision.decommission import (
    DrainRules,
    check_quorum,
    out_of_kubernetes,
    planned_removal,
    removal_lane,
    removed,
    schedulable,
    why_removed,
    with_record_state,
)
from bootstrap.planning.provision.join_lanes import JoinLanes
from bootstrap.planning.provision.joining import fetched, ready
from bootstrap.planning.provision.kept_counts import count_notes, with_kept_counts
from bootstrap.planning.provision.replacement_capacity import ReplacementPlaces, place_replacements
from bootstrap.planning.view import ClusterView


@dataclass(frozen=True, kw_only=True)
class ReplaceOptions:
    """What is replaced, and how.

    Attributes:
        pool: The pool concerned.
        machines: Which of it; empty for all, or for what an interrupted run has left to do.
        at_once: How many at the same time; servers always one by one, and where the old ones are removed first,
            fewer if pods had no node left.
        surge: Whether the new machine is created first where there is room.
        rules: How machines are drained.
        begun: What an interrupted run was to replace, with the VMs' identities.
        noted: The pools' sizes when that started.
        asked: The pools' sizes that an interrupted `scale` was to end with.
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


def plan_replace(view: ClusterView, options: ReplaceOptions, *, version: str) -> Plan:
    """Plan the replacement. Every pool keeps as many machines as it has.

    The server that the plan works through cannot be removed through itself: it gets its successor and is marked, and a
    second plan removes it. A note names it.

    Args:
        view: The cluster, with existing sizes, and as seen.
        options: What is to be replaced.
        version: The k3s version new machines get.

    Raises:
        PreflightError: It cannot be done; nothing was touched.
    """
    outgoing = _Outgoing.of(view, options)
    outgoing.check()
    _check_number(outgoing, options)
    replacement = _Replacement(options=options, outgoing=outgoing, version=version)
    replacement.check()
    kept = outgoing.view
    return bare_plan(
        "replace",
        kept,
        machines=replacement.shown(),
        lanes=replacement.lanes() if outgoing.all or replacement.work else (),
        notes=(
            *replacement.notes(),
            *count_notes(view.spec, kept.spec, command="replace"),
            *replacement.allocation.notes,
            *older_inventory_notes(kept),
            *foreign_notes(kept),
        ),
    )


def seen_after(view: ClusterView, options: ReplaceOptions) -> ClusterView:
    """The cluster once the machines to be replaced are marked: their successors are among the wanted machines then."""
    return _Outgoing.of(view, options).after


@dataclass(frozen=True, kw_only=True)
class _Outgoing:
    """The machines of a pool that are replaced.

    Attributes:
        view: The cluster, with the sizes that pools keep.
        targets: Those that this plan removes, in order.
        later: Those that the next plan removes, since this one works through them.
    """

    view: ClusterView
    pool: NodePool
    targets: tuple[Member, ...]
    later: tuple[Member, ...] = ()

    @classmethod
    def of(cls, view: ClusterView, options: ReplaceOptions) -> _Outgoing:
        """Choose them.

        Raises:
            PreflightError: One that was asked for is unreachable.
        """
        view = replace(view, spec=options.kept(view))
        pool = next(pool for pool in view.spec.pools if pool.name == options.pool)
        there = members(view, pool)
        chosen = _named(view, there, options) if options.machines else _rest_or_all(pool, there, options)
        ordered = worst_first(chosen, len(chosen))
        later = _last_to_serve(there, ordered) if pool.role is Role.CONTROL_PLANE else ()
        return cls(view=view, pool=pool, targets=tuple(each for each in ordered if each not in later), later=later)

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
        """Those that this plan removes."""
        return tuple(member.name for member in self.targets)

    @property
    def dead(self) -> tuple[Member, ...]:
        """Servers that do not answer.

        etcd takes no new member while an old one does not answer (docs/k3s.md#joining).
        """
        return tuple(member for member in self.targets if self.is_server and not member.well)

    @cached_property
    def after(self) -> ClusterView:
        """The cluster once they are marked."""
        names = [member.name for member in self.all]
        return replace(self.view, observed=with_record_state(self.view.observed, names, RecordState.LEAVING))

    def check(self) -> None:
        """Refuse what would lose the cluster's data, and machines that have several VMs."""
        if self.is_server:
            _check_servers(self.view, self.targets)
        check_twins(self.view, frozenset(member.name for member in self.all))
        if self.all:
            needed_server(self.view, besides=self.names)


def _named(view: ClusterView, there: Sequence[Member], options: ReplaceOptions) -> list[Member]:
    """The machines that were asked for and that no earlier run has replaced."""
    named = (member for member in there if member.name in options.machines)
    chosen = [member for member in named if not _is_successor(member, options)]
    hidden = [member.unreachable for member in chosen if member.unreachable is not None]
    require_reachable(view, what=f"{', '.join(options.machines)} cannot be replaced", of=hidden)
    return chosen


def _rest_or_all(pool: NodePool, there: Sequence[Member], options: ReplaceOptions) -> list[Member]:
    """What an interrupted run has left to do; else all."""
    rest = [member for member in there if member.leaving or _is_begun(member, options)]
    if rest or _unfinished(pool, there):
        return rest
    return [member for member in there if member.unreachable is None]


def _last_to_serve(there: Sequence[Member], outgoing: Sequence[Member]) -> tuple[Member, ...]:
    """The server that the plan works through, where none stays that could serve."""
    if any(member.well for member in there if member not in outgoing):
        return ()
    return tuple(member for member in outgoing if member.well)[-1:]


@dataclass(frozen=True, kw_only=True)
class _Replacement:
    """A whole replacement."""

    options: ReplaceOptions
    outgoing: _Outgoing
    version: str

    @property
    def view(self) -> ClusterView:
        """The cluster once the old machines are marked."""
        return self.outgoing.after

    @cached_property
    def work(self) -> tuple[MachineState, ...]:
        """Machines of the pool that something is done about."""
        return tuple(each for each in self.view.states if each.machine.pool == self.outgoing.pool.name and each.need)

    @cached_property
    def new(self) -> tuple[MachineState, ...]:
        """Those of them that have no VM."""
        return tuple(each for each in self.work if each.missing)

    @property
    def at_once(self) -> int:
        """How many are replaced at the same time."""
        return 1 if self.outgoing.is_server else max(self.options.at_once, 1)

    @cached_property
    def turns(self) -> int:
        """How many are drained at the same time, so that pods always have somewhere to go."""
        if self.places.surge or not self.new:
            return self.at_once  # a successor is Ready before each drain
        return max(1, min(self.at_once, len(schedulable(self.outgoing.view)) - 1))

    @cached_property
    def pairs(self) -> tuple[tuple[MachineState, Member | None], ...]:
        """Each new machine with the one it replaces. An earlier run has created those of the last to be removed."""
        return tuple(zip(self.new, (*self.outgoing.all, *repeat(None, len(self.new))), strict=False))

    @cached_property
    def places(self) -> ReplacementPlaces:
        """Where the new machines go."""
        vms = (*(each.vm for each in self.view.states), *(member.vm for member in self.outgoing.all))
        return place_replacements(
            self.outgoing.view,
            [(each.machine, member.vm if member else None) for each, member in self.pairs],
            existing=[vm for vm in vms if vm is not None],
            at_once=self.at_once,
            surge=self.options.surge,
        )

    @cached_property
    def present(self) -> tuple[MachineState, ...]:
        """The machines that exist, or that this plan creates."""
        return tuple(each for each in self.view.states if each.shown or each in self.new)

    @cached_property
    def allocation(self) -> Allocation:
        """What the new machines get."""
        return Allocation.of(self.view, self.present, placement=Placement(of=self.places.of))

    def check(self) -> None:
        """Refuse to create machines that may exist, but are unreachable, and a removal that ends etcd's majority."""
        if self.outgoing.is_server and not self.places.surge:
            # Each is removed before its successor has joined, those that do not answer first.
            well = [member for member in self.outgoing.targets if member.well][:1]
            check_quorum(self.outgoing.view, going=[member.name for member in (*self.outgoing.dead, *well)])
        pool = self.outgoing.pool.name
        if any(each.doubtful for each in self.view.states if each.machine.pool == pool):
            require_reachable(
                self.outgoing.view,
                what=f"no machine can be created for the pool {pool} of {self.view.spec.name}",
            )

    def shown(self) -> tuple[PlannedMachine, ...]:
        """The machines as the plan shows them."""
        staying = (
            self.allocation.planned(each, each.reason) if each in self.work else unchanged(each)
            for each in self.present
        )
        leaving = (planned_removal(member, why_removed(member)) for member in self.outgoing.all)
        return (*staying, *filter(None, leaving))

    def lanes(self) -> tuple[Lane, ...]:
        """The lanes of the new machines and of those that are removed."""
        begins, drains = self._order()
        joins = JoinLanes(
            allocation=self.allocation,
            work=self.work,
            version=self.version,
            begins=begins,
            leaving=self.outgoing.names if self.outgoing.is_server else (),
            before_servers=tuple(out_of_kubernetes(member.name) for member in self.outgoing.dead),
            marks=bool(self.outgoing.later),
        )
        return (
            *joins.lanes(),
            *(self._removal(member, drains[member.name]) for member in self.outgoing.targets),
        )

    def _removal(self, member: Member, drains: tuple[Gate, ...]) -> Lane:
        at_hand = tuple(fetched(self.version, arch) for arch in self.allocation.architectures(self.work))
        # Machines that an interrupted run has left are missing until they are Ready: no other is removed before.
        unfinished = tuple(ready(each.name) for each in self.work if each.vm is not None)
        needs = at_hand if member in self.outgoing.dead else (*at_hand, *unfinished, *drains)
        return removal_lane(member, role=self.outgoing.pool.role, rules=self.options.rules, needs=needs)

    def _order(self) -> tuple[dict[MachineName, tuple[Gate, ...]], dict[MachineName, tuple[Gate, ...]]]:
        """What each new machine waits for before it is cloned, and each old one before it is drained."""
        begins: dict[MachineName, tuple[Gate, ...]] = {}
        drains: dict[MachineName, tuple[Gate, ...]] = {}
        successors = {member.name: each.name for each, member in self.pairs if member is not None}
        old = [member.name for member in self.outgoing.all]
        for before, name in zip((*repeat(None, self.turns), *old), old, strict=False):
            successor = successors.get(name)
            waits = (removed(before),) if before else ()
            if successor is None:
                drains[name] = waits
            elif self.places.surge:
                begins[successor] = waits
                drains[name] = (ready(successor),)
            else:
                drains[name] = (ready(successors[before]),) if before in successors else waits
                begins[successor] = (removed(name),)
        return begins, drains

    def notes(self) -> Iterator[str]:
        """What the user should know of the order."""
        for member in self.outgoing.later:
            yield (
                f"{member.name} is the server used for all other steps: it is removed last, through one of the "
                "new servers"
            )
        yield from self._turn_notes()
        if self.options.surge and not self.places.surge and self.new:
            more = count(self.at_once, "machine")
            yield f"there is no room for {more} more: each is removed before its successor is created"

    def _turn_notes(self) -> Iterator[str]:
        """How many at a time, where more than one was asked for."""
        asked = self.options.at_once
        if asked > 1 and self.outgoing.is_server:
            yield "servers are replaced one at a time"
        elif self.turns < asked:
            yield f"{self.turns} instead of {asked} workers at a time, so that pods have nodes to move to"
        elif asked > 1:
            yield f"{asked} workers at a time"


def _is_begun(member: Member, options: ReplaceOptions) -> bool:
    """Whether an interrupted run was to replace this very machine."""
    return member.name in options.begun and not _is_successor(member, options)


def _is_successor(member: Member, options: ReplaceOptions) -> bool:
    """Whether a machine only has the name of one that an interrupted run has replaced: free numbers are used again."""
    known = options.begun.get(member.name)
    return bool(known) and member.vm is not None and member.vm.identity != known


def _unfinished(pool: NodePool, there: Sequence[Member]) -> bool:
    """Whether machines were removed and their successors are still missing: what an interrupted run leaves at last."""
    half_made = any(m.vm and m.vm.record and m.vm.record.state is RecordState.CLONING for m in there)
    return half_made or sum(bool(member.vm or member.unreachable) for member in there) < pool.count


def _check_number(outgoing: _Outgoing, options: ReplaceOptions) -> None:
    """Refuse that a protected cluster loses servers for good: those that an interrupted `scale` was removing."""
    if outgoing.is_server and options.asked:
        surplus = max(len(members(outgoing.view, outgoing.pool)) - outgoing.pool.count, 0)
        going = [member.name for member in outgoing.all][:surplus]
        check_server_removal(outgoing.view.spec, going, command=f"replace --pool {outgoing.pool.name}")


def _check_servers(view: ClusterView, targets: Sequence[Member]) -> None:
    if view.on_sqlite:
        raise PreflightError(
            f"{view.spec.name} has one server with sqlite, whose data cannot be moved to another server",
            resolution=Advice(
                "`homelab-k8s scale control-plane 3` migrates it to etcd first; or: `homelab-k8s rebuild`"
            ),
        )
    check_quorum(view, going=[member.name for member in targets if not member.well])
