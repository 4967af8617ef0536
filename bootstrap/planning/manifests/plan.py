"""Whether manifests are applied, after what else, and what is said about them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError, few_lines, some_of
from bootstrap.manifests.values import Change, ManifestObjects, ManifestsSeen, ObjectChange, ObjectId
from bootstrap.model.words import count
from bootstrap.planning.checks.addons import check_births
from bootstrap.planning.healthy_server import healthy_server, needed_server
from bootstrap.planning.manifests.steps import ApplyManifests
from bootstrap.planning.members.existing_machines import plan_on, present_machines
from bootstrap.planning.plan import Lane, LaneStep, Plan
from bootstrap.planning.provision.joining import API_REACHABLE, access_lane, init_step

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView

LANE = "manifests"
_MOST = 5


def plan_manifests(view: ClusterView, *, force: bool, confirmed: Collection[ObjectId] | None) -> Plan:
    """Plan `manifests apply`.

    Args:
        view: The cluster, with its manifests compared.
        force: Whether fields are taken over that others manage.
        confirmed: What the user has agreed to lose; None: all that is shown.

    Raises:
        PreflightError: Objects are refused or conflict, or no server is Ready.
    """
    server, seen = needed_server(view), view.observed.manifests or ManifestsSeen()
    check_birth(view)
    check_blocked(seen)
    losses = tuple(each.id for each in losing(seen) if confirmed is None or each.id in confirmed)
    if not seen.changes:
        return plan_on("manifests", view, (), lanes=())
    step = ApplyManifests(total=seen.total, changes=seen.changes, force=force, confirmed=losses)
    lane = Lane.of(LANE, LaneStep(step=step, needs=(API_REACHABLE,)))
    return plan_on(
        "manifests",
        view,
        [each for each in present_machines(view) if each.machine.name == server.name],
        lanes=(access_lane(view.spec, server), lane),
        concerned=lambda _machine: "the manifests are applied through it",
    )


def with_manifests(view: ClusterView, lanes: tuple[Lane, ...]) -> tuple[Lane, ...]:
    """The lanes of `up`, and after all others the one that applies manifests, where something is to be done.

    Raises:
        PreflightError: Objects are refused or conflict, and there is nothing else to do.
    """
    seen = view.observed.manifests
    if seen is None or not _is_due(seen):
        return lanes
    if not lanes:
        check_blocked(seen)
    step = ApplyManifests(total=seen.total, changes=seen.changes)
    lanes = _with_access(view, lanes)
    if not any(API_REACHABLE in each.opens for lane in lanes for each in lane.steps):
        return lanes  # nothing in this plan reaches the API: no server is left
    gates = dict.fromkeys(gate for lane in lanes for each in lane.steps for gate in each.opens)
    return (*lanes, Lane.of(LANE, LaneStep(step=step, needs=tuple(gates))))


def check_birth(view: ClusterView) -> None:
    """Refuse objects that can only be there from a cluster's birth on, where one runs without them.

    Of an add-on the servers tell that by what they run with, so that one whose objects were deleted gets them again.

    Raises:
        PreflightError: With the reason.
    """
    if check_births(view):
        return
    seen = view.observed.manifests
    if seen is None or seen.problem:
        return
    missing = {each.place.file for each in seen.of(Change.CREATE) if each.place is not None}
    there = {each.place.file for each in seen.of(Change.CHANGE) if each.place is not None}
    for source in view.spec.manifests or ():
        if isinstance(source, ManifestObjects) and source.birth and source.shown in missing - there:
            raise PreflightError(
                f"{source.shown} can only be there from a cluster's birth on",
                details=source.birth,
                resolution=Advice("remove it from the inventory, or build the cluster again: `homelab-k8s rebuild`"),
            )


def _is_due(seen: ManifestsSeen) -> bool:
    """Whether `up` has something to apply or to prune; what data would be lost with is left to `manifests apply`."""
    if seen.problem:
        return seen.total > 0
    return any(not each.loses_data for each in seen.changes)


def _with_access(view: ClusterView, lanes: tuple[Lane, ...]) -> tuple[Lane, ...]:
    """The lanes with one that reaches the API, where a server serves."""
    server = healthy_server(view)
    reaches = any(API_REACHABLE in each.opens for lane in lanes for each in lane.steps)
    if reaches or server is None:
        return lanes
    if all(lane.name != server.name for lane in lanes):
        return (access_lane(view.spec, server), *lanes)
    access = init_step(view.spec, server, serves=True)
    return tuple(replace(lane, steps=(*lane.steps, access)) if lane.name == server.name else lane for lane in lanes)


def check_blocked(seen: ManifestsSeen) -> None:
    """Refuse what the API would refuse. Raises PreflightError with all of it."""
    blocked = [each for each in seen.changes if each.blocks]
    if not blocked:
        return
    raise PreflightError(
        f"manifests: Kubernetes would not take {count(len(blocked), 'object')}; nothing was applied",
        details=few_lines([line for each in blocked for line in lines_of(each)]),
        resolution=remedy_of(blocked),
    )


def remedy_of(blocked: Collection[ObjectChange]) -> str:
    """What to do about objects that cannot be applied."""
    if any(each.change is not Change.CONFLICT for each in blocked):
        return "correct the manifests and run the command again"
    return Advice(
        "remove these fields from the manifests, or take them over: `homelab-k8s manifests apply --force-conflicts`"
    )


def lines_of(change: ObjectChange) -> tuple[str, ...]:
    """What is wrong with an object that cannot be applied: a line for each field that others manage, or the API's."""
    where = f"{change.place}: {change.id}" if change.place is not None else f"{change.id}"
    if change.change is Change.CONFLICT:
        return tuple(f"{where}: {owner.path} is managed by {owner.manager}" for owner in change.owners)
    return (f"{where}: {' '.join(change.said.split())}",)


def losing(seen: ManifestsSeen) -> tuple[ObjectChange, ...]:
    """The objects to prune that data would be lost with."""
    return tuple(each for each in seen.of(Change.PRUNE) if each.loses_data)


def manifest_notes(view: ClusterView) -> tuple[str, ...]:
    """What `up` leaves alone."""
    seen = view.observed.manifests
    kept = losing(seen) if seen is not None else ()
    if not kept:
        return ()
    return (kept_note([each.id for each in kept]),)


def kept_note(ids: Sequence[ObjectId]) -> str:
    """That objects stay since data may be lost with them."""
    verb = "is" if len(ids) == 1 else "are"
    return Advice(
        "{} {} no longer in the manifests, and kept since data may be lost: `homelab-k8s manifests apply` asks, and "
        "deletes",
        some_of(ids, _MOST),
        verb,
    )


def manifest_problems(view: ClusterView) -> Iterator[str]:
    """How the cluster differs from its manifests, in lines of `status`."""
    seen = view.observed.manifests
    if seen is None:
        return
    if seen.problem and view.observed.kube_nodes is not None:
        yield Advice("the manifests cannot be compared: {}", seen.problem)
        return
    blocked = [line for each in seen.changes if each.blocks for line in lines_of(each)]
    for line in blocked[:_MOST]:
        yield Advice("{}: `homelab-k8s manifests diff`", line)
    words = {Change.CREATE: "missing", Change.CHANGE: "changed", Change.PRUNE: "to prune"}
    counts = [f"{len(found)} {word}" for kind, word in words.items() if (found := _certain(seen, kind))]
    if counts:
        yield Advice(
            "manifests: {} of {}: `homelab-k8s manifests diff` shows them, `homelab-k8s up` applies them",
            ", ".join(counts),
            count(seen.total, "object"),
        )
    kept = losing(seen)
    if kept:
        yield kept_note([each.id for each in kept])


def sync_notices(view: ClusterView) -> tuple[str, ...]:
    """What Flux or Argo CD has not applied yet: theirs to do, so no problem of ours."""
    seen, gitops = view.observed.manifests, view.spec.gitops
    if seen is None or not seen.unsynced:
        return ()
    said = tuple(few_lines([" ".join(each.split())]) for each in seen.unsynced)
    if gitops is None or not gitops.makes_key:
        return said
    return (*said, Advice("`homelab-k8s manifests deploy-key` prints the key that {} has to know", gitops.repository))


def _certain(seen: ManifestsSeen, kind: Change) -> list[ObjectChange]:
    return [each for each in seen.of(kind) if not each.loses_data]
