"""Plans `replace`: machines are replaced by fresh clones, one after another. New machines have new names.

A machine and its successor are never one and the same: no password, certificate or disk of the old one is in the way,
and where there is room the new one works before the old one goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
from bootstrap.planning.members.foreign import strangers_notes
from bootstrap.planning.members.out_of_sight import require_sight
from bootstrap.planning.members.pool_members import Member, members, worst_first
from bootstrap.planning.members.twins import check_twins
from bootstrap.planning.plan import Gate, Lane, Plan
from bootstrap.planning.plan_base import bare_plan
from bootstrap.planning.provision.decommission import (
    DrainRules,
    check_quorum,
    departing,
    departure_lane,
    left,
    marked,
    out_of_kubernetes,
    why_goes,
)
from bootstrap.planning.provision.joining import Making, fetch_lane, fetched, kept, kubeconfig_lane, ready
from bootstrap.planning.provision.kept_counts import count_notes, with_kept_counts
from bootstrap.planning.provision.replacement_capacity import plan_turns
from bootstrap.planning.templates.machine_images import sources_for
from bootstrap.planning.verbs.up import join_lanes
from bootstrap.planning.view import ClusterView
from bootstrap.records.lock import check_lock_place


@dataclass(frozen=True, kw_only=True)
class Replacing:
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


def plan_replace(spec: ClusterSpec, observed: Observed, verb_options: Replacing, *, version: str) -> Plan:
    """Plan the replacement. Every pool keeps as many machines as it has.

    The server that the plan works through cannot leave by it: it gets its successor and is marked, and leaves by a
    second plan. A note names it.

    Args:
        spec: The cluster, sizes settled.
        observed: What there is.
        verb_options: What is to be replaced.
        version: The k3s version new machines get.

    Raises:
        PreflightError: It cannot be done; nothing was touched.
    """
    stated, spec = spec, verb_options.kept(ClusterView(spec, observed))
    pool = next(pool for pool in spec.pools if pool.name == verb_options.pool)
    targets, later = _targets(ClusterView(spec, observed), pool, verb_options)
    is_server = pool.role is Role.CONTROL_PLANE
    if is_server:
        _check_servers(ClusterView(spec, observed), targets)
    gone = [member.name for member in targets]
    check_twins(ClusterView(spec, observed), frozenset(member.name for member in (*targets, *later)))
    if targets or later:
        needed_server(ClusterView(spec, observed), besides=gone)
    after = marked(observed, [*gone, *(member.name for member in later)], RecordState.LEAVING)
    all_states = ClusterView(spec, after).states
    arriving = [s for s in all_states if s.machine.pool == pool.name and s.need]
    new = [machine_state for machine_state in arriving if machine_state.missing]
    if any(s.machine.pool == pool.name and s.vm is None and s.held and not s.unseen_by_name for s in all_states):
        require_sight(
            ClusterView(spec, observed), what=f"no machine can be made for the pool {pool.name} of {spec.name}"
        )
    paired = _paired([*targets, *later], new)
    at_once = 1 if is_server else max(verb_options.at_once, 1)
    existing = [machine_state.vm for machine_state in all_states if machine_state.vm is not None]
    turns = plan_turns(
        ClusterView(spec, observed),
        new=[machine_state.machine for machine_state in new],
        old=[member.vm if member else None for _, member in paired],
        existing=[*existing, *(member.vm for member in (*targets, *later) if member.vm is not None)],
        sources=sources_for(ClusterView(spec, observed), [machine_state.machine for machine_state in new]),
        at_once=at_once,
        surge=verb_options.surge,
    )
    present = [machine_state for machine_state in all_states if machine_state.shown or machine_state in new]
    making = Making.of(ClusterView(spec, after), present, placement=Placement(of=turns.of))
    check_lock_place(spec, observed.vms)
    begins, drains = _order([*targets, *later], paired, at_once=at_once, surge=turns.surge)
    # etcd takes no new member while an old one does not answer (docs/k3s.md#joining).
    dead = [member for member in targets if is_server and not member.well]
    drains |= {member.name: () for member in dead}
    # Machines that an earlier run left half-way are missed until they are Ready: nobody else goes before.
    unfinished = tuple(ready(machine_state.machine.name) for machine_state in arriving if machine_state.vm is not None)
    at_hand = tuple(fetched(version, arch) for arch in making.architectures(arriving))
    shown = [making.planned(s, s.reason) if s in arriving else kept(s) for s in present]
    shown += [planned for member in (*targets, *later) if (planned := departing(member, why_goes(member))) is not None]
    lanes: tuple[Lane, ...] = ()
    if targets or later or arriving:
        lanes = (
            *((fetch_lane(making, arriving, version),) if arriving else ()),
            kubeconfig_lane(spec),
            *join_lanes(
                making,
                all_states,
                arriving,
                version,
                begins=begins,
                leaving=gone if is_server else (),
                before_servers=tuple(out_of_kubernetes(member.name) for member in dead),
                marks=bool(later),
            ),
            *(
                departure_lane(
                    member,
                    role=pool.role,
                    rules=verb_options.rules,
                    needs=(*at_hand, *(() if member in dead else unfinished), *drains[member.name]),
                )
                for member in targets
            ),
        )
    return bare_plan(
        "replace",
        ClusterView(spec, observed),
        machines=tuple(shown),
        lanes=lanes,
        notes=(
            *_notes(turns.surge, verb_options, new, later),
            *count_notes(stated, spec, command="replace"),
            *making.notes,
            *older_inventory_notes(ClusterView(spec, observed)),
            *strangers_notes(ClusterView(spec, observed)),
        ),
    )


def seen_after(spec: ClusterSpec, observed: Observed, verb_options: Replacing) -> Observed:
    """What would be seen once the machines that are to go are marked: from then on their successors are wanted."""
    spec = verb_options.kept(ClusterView(spec, observed))
    pool = next(pool for pool in spec.pools if pool.name == verb_options.pool)
    targets, later = _targets(ClusterView(spec, observed), pool, verb_options)
    return marked(observed, [member.name for member in (*targets, *later)], RecordState.LEAVING)


def _targets(
    view: ClusterView, pool: NodePool, verb_options: Replacing
) -> tuple[tuple[Member, ...], tuple[Member, ...]]:
    """The machines that go by this plan, and those that have to wait for the next: the first to go first."""
    there = members(view, pool)
    chosen = [
        member for member in there if member.name in verb_options.machines and not _is_successor(member, verb_options)
    ]
    hidden = [member.unseen for member in chosen if member.unseen is not None]
    require_sight(view, what=f"{', '.join(verb_options.machines)} cannot be replaced", of=hidden)
    if not verb_options.machines:
        # An earlier run's rest comes first: it was cut off, and this goes on with it.
        chosen = [member for member in there if member.leaving or _is_begun(member, verb_options)]
        if not chosen and not _unfinished(pool, there):
            chosen = [member for member in there if member.unseen is None]
    ordered = worst_first(chosen, len(chosen))
    if pool.role is not Role.CONTROL_PLANE:
        return ordered, ()
    staying = [m for m in there if m.well and m not in ordered]
    if staying or not ordered:
        return ordered, ()
    through = next((member for member in reversed(ordered) if member.well), None)
    return tuple(m for m in ordered if m != through), (through,) if through else ()


def _is_begun(member: Member, verb_options: Replacing) -> bool:
    """Whether an earlier run was to replace this very machine."""
    return member.name in verb_options.begun and not _is_successor(member, verb_options)


def _is_successor(member: Member, verb_options: Replacing) -> bool:
    """Whether a machine only has the name of one that an earlier run has replaced: free numbers are taken again."""
    known = verb_options.begun.get(member.name)
    return bool(known) and member.vm is not None and member.vm.identity != known


def _unfinished(pool: NodePool, there: Sequence[Member]) -> bool:
    """Whether successors of machines that have gone already are still to come: that is the end of an earlier run."""
    half_made = any(m.vm and m.vm.record and m.vm.record.state is RecordState.CLONING for m in there)
    return half_made or sum(bool(member.vm or member.unseen) for member in there) < pool.count


def _check_servers(view: ClusterView, targets: Sequence[Member]) -> None:
    if view.on_sqlite:
        raise PreflightError(
            f"{view.spec.name} has one server with sqlite, which cannot hand its data over to another",
            resolution=Advice("`homelab-k8s scale control-plane 3` moves it to etcd first; or `homelab-k8s rebuild`"),
        )
    check_quorum(view, going=[member.name for member in targets if not member.well])


def _paired(targets: Sequence[Member], new: Sequence[MachineState]) -> list[tuple[MachineState, Member | None]]:
    """Each new machine with the one it replaces. Where some have come already, the last targets have theirs."""
    first = list(targets[: len(new)])
    padded: list[Member | None] = [*first, *([None] * (len(new) - len(first)))]
    return list(zip(new, padded, strict=True))


def _order(
    targets: Sequence[Member], paired: Sequence[tuple[MachineState, Member | None]], *, at_once: int, surge: bool
) -> tuple[dict[MachineName, tuple[Gate, ...]], dict[MachineName, tuple[Gate, ...]]]:
    """What each new machine waits for before it is cloned, and each old one before it is drained."""
    begins: dict[MachineName, tuple[Gate, ...]] = {}
    drains: dict[MachineName, tuple[Gate, ...]] = {}
    successors = {member.name: machine_state.machine.name for machine_state, member in paired if member is not None}
    for turn, member in enumerate(targets):
        before = targets[turn - at_once].name if turn >= at_once else None
        successor = successors.get(member.name)
        waits = (left(before),) if before else ()
        if successor is None:
            drains[member.name] = waits
        elif surge:
            begins[successor] = waits
            drains[member.name] = (ready(successor),)
        else:
            drains[member.name] = (ready(successors[before]),) if before in successors else waits
            begins[successor] = (left(member.name),)
    return begins, drains


def _notes(
    surge: bool, verb_options: Replacing, new: Sequence[MachineState], later: Sequence[Member]
) -> tuple[str, ...]:
    notes = [
        f"{member.name} is the server that all this goes through: it leaves last, through one of the new ones"
        for member in later
    ]
    if verb_options.surge and not surge and new:
        notes.append(
            f"there is no room for {count(verb_options.at_once, 'machine')} more: each goes before its successor comes"
        )
    return tuple(notes)
