"""`maintain`: looks, backs up, upgrades, renews templates and machines, prunes; stops at what is not healthy.

Each task is a command of its own, with its own lock and its own plan. Before each, the cluster is looked at again and
what is left to do is decided again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from bootstrap.advice import Advice
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.observing.draining import pods_losing_data
from bootstrap.commands.observing.preflight import observe_existing
from bootstrap.commands.observing.versions import choose_version, with_k3s
from bootstrap.commands.reports.doctor import diagnose
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verb import Verb
from bootstrap.commands.verbs import template as templates
from bootstrap.commands.verbs.backup import Backup
from bootstrap.commands.verbs.replace import Replace
from bootstrap.commands.verbs.upgrade import Upgrade
from bootstrap.errors import (
    ArtifactError,
    ArtifactUnreachableError,
    ClusterBusyError,
    DeadlineError,
    DrainError,
    HomelabError,
    PreflightError,
    few_lines,
)
from bootstrap.events import Event, EventSink, RunStarted, StepFinished, Told, Warned
from bootstrap.execution.one_run import OneRun
from bootstrap.k3s.versions import K3sVersion, is_release, parse_version
from bootstrap.model.access.endpoint import PveEndpoint
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.observed import PveNodeFacts
from bootstrap.model.words import count
from bootstrap.planning.checks.doctor import Verdict
from bootstrap.planning.day2_steps import TakeSnapshot
from bootstrap.planning.plan import steps_of
from bootstrap.planning.provision.decommission import DrainRules
from bootstrap.planning.templates.build import BuildOptions
from bootstrap.planning.templates.steps import RemoveTemplate
from bootstrap.planning.verbs.maintain import (
    SNAPSHOT_NAME,
    BackUp,
    Offer,
    PruneTemplates,
    RenewTemplates,
    ReplaceMachine,
    Task,
    UpgradeTo,
    Upkeep,
    allowed_release,
    newest_wanted,
    plan_upkeep,
    renews_templates,
    running_versions,
)
from bootstrap.planning.verbs.replace import ReplaceOptions
from bootstrap.planning.verbs.upgrade import UpgradeOptions
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.records.vms.template import CloudImage, image_of_volume
from bootstrap.waiting import Condition, NotYet, patience_to_look, wait_for

_SETTLES_WITHIN_S = 300.0
"""After a task: what it has changed may need a moment until all of it is reported as healthy."""
_LOOK_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A task that was done; `note` is a fact worth a line, such as the snapshot's name."""

    task: Task
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Maintain:
    """`maintain`.

    Attributes:
        endpoint: Proxmox VE, for the checks of `doctor`.
        any_time: Whether the window does not count.
    """

    endpoint: PveEndpoint
    any_time: bool = False

    def look(self, spec: ClusterSpec, ports: Ports) -> Upkeep:
        """What is to be done now. Reads only.

        Raises:
            ClusterBusyError: Another command runs on the cluster.
            PreflightError: The cluster is not healthy, or `doctor` finds what would make commands fail.
        """
        problems = [*_unhealthy(spec, ports), *self._failed_checks(spec, ports)]
        if problems:
            raise PreflightError(
                f"{spec.name} is not healthy ({count(len(problems), 'problem')}); nothing was changed",
                details=few_lines(problems),
                resolution=Advice("`homelab-k8s status` and `homelab-k8s doctor` show how to fix that"),
            )
        view = _observed(spec, ports)
        return self._decided(view, _offer(view, ports), ports, prunable=_prunable(view, ports))

    def run(
        self,
        seen: Upkeep,
        spec: ClusterSpec,
        ports: Ports,
        *,
        sink: EventSink,
        options: RunOptions,
        on_end: Callable[[Ended], object] = lambda _ended: None,
    ) -> Upkeep:
        """Do it, one task after the other; returns the notes of the end.

        Args:
            seen: What `look` has found just now.
            spec: The cluster.
            ports: All ports.
            sink: Hears of all tasks as of one run.
            options: Of each task.
            on_end: Is called with each task that has ended well, also if a later one fails.

        Raises:
            HomelabError: A task failed, or the cluster is not healthy after one; no other was begun.
        """
        done, upkeep = list[Task](), seen
        with OneRun(sink, ports.clock) as one_sink:
            while True:
                _check_progress(upkeep, done)
                task = next((each for each in upkeep.tasks if each not in done), None)
                if task is None:
                    return upkeep
                one_sink(Told(message=str(task)))
                on_end(_act(task, spec, ports, sink=one_sink, options=options))
                done.append(task)
                _check_settled(task, spec, ports, sink=one_sink, options=options)
                upkeep = self._left(done, seen.offer, spec, ports)

    def _left(self, done: Sequence[Task], offer: Offer, spec: ClusterSpec, ports: Ports) -> Upkeep:
        """What is to be done now; templates are looked at when all else is done, since that takes time."""
        view = _observed(spec, ports)
        upkeep = self._decided(view, offer, ports)
        if any(task not in done for task in upkeep.tasks):
            return upkeep
        return self._decided(view, offer, ports, prunable=_prunable(view, ports))

    def _decided(self, view: ClusterView, offer: Offer, ports: Ports, *, prunable: tuple[str, ...] = ()) -> Upkeep:
        now_s = ports.processes.unix_s()
        return plan_upkeep(
            view,
            offer,
            now_s=now_s,
            at=datetime.fromtimestamp(now_s).astimezone(),
            any_time=self.any_time,
            prunable=prunable if offer.image is not None else (),
        )

    def _failed_checks(self, spec: ClusterSpec, ports: Ports) -> Iterator[str]:
        for check in diagnose(spec, self.endpoint, ports).checks:
            if check.verdict is Verdict.FAILED and check.name != "cluster":
                yield Advice("{}: {}", check.name, check.says.partition("\n")[0])


def _check_progress(upkeep: Upkeep, done: Sequence[Task]) -> None:
    """Refuse to do something twice. Raises HomelabError."""
    for task in upkeep.tasks:
        if task in done and not isinstance(task, BackUp | PruneTemplates):
            raise HomelabError(
                f"it was done, and is still to be done: {task}; nothing else was changed",
                resolution="please report it, with the log",
            )


def _unhealthy(spec: ClusterSpec, ports: Ports) -> tuple[str, ...]:
    """What `status` calls a problem.

    Raises:
        ClusterBusyError: Another command runs on the cluster.
    """
    status = cluster_status(spec, ports)
    if status.at_work:
        raise ClusterBusyError(
            f"another run is in progress on {spec.name}; nothing was changed",
            details=f"held by {status.at_work}",
            resolution="wait until it has ended, then run the command again",
        )
    return status.problems


def _check_settled(task: Task, spec: ClusterSpec, ports: Ports, *, sink: EventSink, options: RunOptions) -> None:
    """Wait until the cluster is healthy after a task; it is given a few minutes for that."""
    seen: list[str] = []

    def look() -> bool | NotYet:
        seen[:] = _unhealthy(spec, ports)
        return NotYet(seen[0]) if seen else True

    condition = Condition(what=f"{spec.name} to be healthy", poll=look, every_s=_LOOK_S)
    try:
        wait_for(condition, patience_to_look(ports.clock, _SETTLES_WITHIN_S, sink=sink, stop=options.stop))
    except DeadlineError as error:
        raise HomelabError(
            f"{spec.name} is not healthy after this: {task}; nothing else was changed",
            details=few_lines(seen),
            resolution=Advice("`homelab-k8s status` shows how to fix it; then `homelab-k8s maintain` continues"),
        ) from error


def _observed(spec: ClusterSpec, ports: Ports) -> ClusterView:
    """The cluster, preferring templates with the k3s that runs, as `replace` does."""
    view = observe_existing(spec, ports)
    return with_k3s(view, choose_version(view, ports))


def _offer(view: ClusterView, ports: Ports) -> Offer:
    """What there is outside.

    Raises:
        ArtifactError: The channel, or the image's checksum, cannot be looked up.
    """
    return Offer(release=_release(view, ports), image=_image(view, ports))


def _release(view: ClusterView, ports: Ports) -> K3sVersion | None:
    k3s, policy, running = view.spec.k3s, view.spec.maintain.upgrade, running_versions(view)
    if k3s.version is not None:
        return None
    resolved = ports.artifacts.resolve(k3s)
    if not is_release(resolved):
        return None
    pointed = parse_version(resolved)
    minor = newest_wanted(policy, running, pointed)
    try:
        newest = parse_version(ports.artifacts.newest(k3s, minor=str(minor))) if minor is not None else None
    except ArtifactUnreachableError:
        raise
    except ArtifactError:
        newest = None  # an artifact directory need not have releases of the minor version that runs
    return allowed_release(policy, running, pointed, newest)


def _image(view: ClusterView, ports: Ports) -> CloudImage | None:
    ref = view.spec.template
    if ref.image is None or not renews_templates(view):
        return None
    arch = _arch(view)
    return image_of_volume(ref.image) or ports.templates.find_image(ref.image, arch=arch, checksum=ref.checksum)


def _arch(view: ClusterView) -> str:
    usable: Iterator[PveNodeFacts] = (each for each in view.observed.pve_nodes if each.online)
    return next((each.k3s_arch for each in usable if view.may_use(each.name)), "amd64")


def _prunable(view: ClusterView, ports: Ports) -> tuple[str, ...]:
    verb = templates.PruneTemplates(keep=view.spec.maintain.keep_templates)
    return tuple(step.name for step in steps_of(verb.plan(view.spec, ports), RemoveTemplate))


def _act(task: Task, spec: ClusterSpec, ports: Ports, *, sink: EventSink, options: RunOptions) -> Ended:
    """Do a task by the command that does it alone.

    Raises:
        DrainError: Pods would lose data, and the inventory does not allow that.
        HomelabError: As the command.
    """
    notes: list[str] = []

    def heard(event: Event) -> None:
        if isinstance(event, StepFinished) and event.phase == TakeSnapshot.phase and event.note:
            notes.append(event.note)
        sink(replace(event, command="maintain") if isinstance(event, RunStarted) else event)

    verb = _verb(task, spec, ports)
    plan = verb.plan(spec, ports)
    if verb.drains and not spec.maintain.delete_emptydir_data:
        pods = pods_losing_data(plan, spec, ports)
        if pods:
            raise DrainError(
                f"{count(len(pods), 'pod')} would lose the data in their emptyDir volumes: {task} was not begun",
                details=few_lines([f"{pod}: emptyDir volume" for pod in pods]),
                resolution="move or delete these pods, or set maintain.delete_emptydir_data to true in the inventory",
            )
    for note in () if plan.lanes else plan.notes:
        sink(Warned(subject=spec.name, message=note))
    if not plan.empty:
        verb.run(plan, spec, ports, sink=heard, options=options)
    return Ended(task=task, note=notes[0] if isinstance(task, BackUp) and notes else "")


def _verb(task: Task, spec: ClusterSpec, ports: Ports) -> Verb:
    rules = DrainRules(delete_local_data=spec.maintain.delete_emptydir_data)
    match task:
        case BackUp():
            # In the bucket it must be: a copy on a server alone would be lost with it.
            return Backup(name=SNAPSHOT_NAME, to=task.to, s3=task.s3, keep=task.keep)
        case UpgradeTo():
            return Upgrade(to=task.version, how=UpgradeOptions(rules=rules))
        case RenewTemplates():
            ref = spec.template
            asked = BuildOptions(
                image=ref.image or "", checksum=ref.checksum, pve_nodes=task.pve_nodes, again=bool(task.pve_nodes)
            )
            # With the k3s that runs: a channel may be ahead of it, and machines would not be cloned of such a template.
            return templates.BuildTemplate(asked, version=choose_version(observe_existing(spec, ports), ports))
        case ReplaceMachine():
            return Replace(ReplaceOptions(pool=task.pool, machines=(task.name,), rules=rules))
        case PruneTemplates():
            return templates.PruneTemplates(keep=task.keep)
        case _:
            assert_never(task)
