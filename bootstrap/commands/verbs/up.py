"""`up`: creates or repairs the cluster from the inventory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from bootstrap.advice import Advice
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.locked.rebuild_state import (
    finish_rebuild,
    read_rebuild,
    snapshot_of,
    under_way,
    write_rebuild,
)
from bootstrap.commands.locked.unfinished import unfinished
from bootstrap.commands.manifests.looking import with_manifests
from bootstrap.commands.observing.ip_conflicts import with_conflicts
from bootstrap.commands.observing.liveness import with_units
from bootstrap.commands.observing.preflight import (
    api_name_notes,
    check_artifact_directory,
    check_privileges,
    check_state_room,
    check_vip,
    observe_checked,
)
from bootstrap.commands.observing.settings import with_settings, with_systems
from bootstrap.commands.observing.versions import choose_version, with_k3s
from bootstrap.commands.verb import Verb
from bootstrap.commands.verbs.template import builds_for
from bootstrap.errors import HomelabError, PreflightError
from bootstrap.events import EventSink, Told
from bootstrap.execution.one_run import OneRun
from bootstrap.execution.report import Report
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.planning.healthy_server import healthy_server
from bootstrap.planning.members.authorize import refusing_lines
from bootstrap.planning.members.existing_sizes import with_existing_sizes
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.planning.provision.successors import declare_lost
from bootstrap.planning.provision.unfinished import notes_for_up
from bootstrap.planning.steps import FetchK3s
from bootstrap.planning.templates.build import builds_of
from bootstrap.planning.templates.planned import check_wanted_builds, wanted_builds, with_planned
from bootstrap.planning.verbs.rebuild import corrected, correction_notes, with_rebuild
from bootstrap.planning.verbs.up import plan_up
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.records.state.rebuild_note import RebuildNote


@dataclass(frozen=True, kw_only=True)
class Up(Verb):
    """`up`.

    Attributes:
        replace_unreachable: Machines on Proxmox nodes that cannot be asked, which the user declares lost: each gets a
            successor, and its VM is removed once its Proxmox node is back.
        resolved: The inventory's k3s version, if it was resolved already.
        rebuild: A rebuild to finish, corrected; None: the noted one, if any.
    """

    replace_unreachable: Sequence[MachineName] = ()
    resolved: str | None = None
    rebuild: RebuildNote | None = None

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`; the k3s version is chosen, and the token's rights are checked."""
        view = observe_checked(spec, ports)
        noted = self.rebuild or under_way(view, ports)
        said = (*_said(view, ports, noted), *api_name_notes(view, ports))
        rebuild = corrected(noted, spec) if noted is not None else None
        if rebuild is not None:
            view = replace(view, spec=with_rebuild(rebuild, spec))
        view = with_existing_sizes(view)
        view = replace(view, observed=declare_lost(view, self.replace_unreachable))
        if not _has_work(view):
            view = with_units(view, ports, every=True)
        view = with_manifests(with_systems(with_settings(view, ports), ports), ports)
        plan = self._creating(view, ports, rebuild) if _has_work(view) else _idle(view, ports)
        return with_notes(plan, said)

    def _creating(self, view: ClusterView, ports: Ports, rebuild: RebuildNote | None) -> Plan:
        """The plan where machines are missing or need something."""
        check_privileges(view, ports)
        check_state_room(ports)
        check_vip(view, ports)
        view = with_conflicts(view, ports)
        if rebuild is None:
            plan = with_builds(view, ports, version=choose_version(view, ports, resolved=self.resolved))
        else:
            version = choose_version(view, ports, resolved=self.resolved or rebuild.version)
            begins = healthy_server(view) is None
            restore = snapshot_of(rebuild, view.spec) if begins else None
            # If it was interrupted between the restore as sqlite and the migration to etcd, it continues with that.
            migrates = rebuild.snapshot is not None
            plan = with_builds(view, ports, version=version, restore=restore, migrates=migrates)
        check_artifact_directory(plan, view.spec, ports)
        return plan

    def run(self, plan: Plan, spec: ClusterSpec, ports: Ports, *, sink: EventSink, options: RunOptions) -> Report:
        """As `Verb.run`; templates that are missing are built in a run of their own, before the machines."""
        verb = self.seen(plan)
        with OneRun(sink, ports.clock) as one_sink:
            report = verb.carry_out(plan, spec, ports, sink=one_sink, options=options)
            if plan.follows:
                plan = verb.plan(spec, ports)
                if builds_of(plan):
                    raise HomelabError(
                        "the template was built, but has disappeared",
                        resolution="check Proxmox's task log to see who removed it",
                    )
                if not plan.empty:
                    one_sink(Told(message="the templates are ready; creating the machines"))
                    then = verb.carry_out(plan, spec, ports, sink=one_sink, options=options)
                    report = then.after(report, at_s=one_sink.offset_s)
        finish_rebuild(spec.name, ports)
        return report

    def confirmed(self, plan: Plan, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.confirmed`; `rebuild` is noted as it is now."""
        if self.rebuild is not None:
            write_rebuild(spec.name, self.rebuild, ports)
        return super().confirmed(plan, spec, ports)

    def seen(self, plan: Plan) -> Self:
        """With the version in the plan that the user has seen."""
        return replace(self, resolved=next((step.version for step in steps_of(plan, FetchK3s)), self.resolved))

    def spec_to_run(self, spec: ClusterSpec, ports: Ports) -> ClusterSpec:
        """The spec with what a rebuild in progress keeps."""
        noted = read_rebuild(spec.name, ports)
        return with_rebuild(noted, spec) if noted is not None else spec


def _has_work(view: ClusterView) -> bool:
    return any(machine_state.need for machine_state in view.states)


def _idle(view: ClusterView, ports: Ports) -> Plan:
    """The plan where all is well; the note of a rebuild that is left over is removed by running it."""
    check_vip(view, ports)
    plan = with_notes(plan_up(view, version=""), refusing_lines(view))
    marked = plan.marked or read_rebuild(view.spec.name, ports) is not None
    return replace(plan, marked=marked, refusing=view.observed.refusing)


def _said(view: ClusterView, ports: Ports, rebuild: RebuildNote | None) -> tuple[str, ...]:
    """Notes on commands that did not finish, and what happens to them now."""
    if rebuild is not None:
        return tuple(correction_notes(rebuild, corrected(rebuild, view.spec)))
    if read_rebuild(view.spec.name, ports) is not None:
        note = "a rebuild was interrupted while machines were removed: `up` abandons it and creates the missing ones"
        return (note,)
    noted = unfinished(with_existing_sizes(view), ports)
    return notes_for_up(noted, view) if noted is not None else ()


def with_notes(plan: Plan, first: Iterable[str]) -> Plan:
    """The plan with further notes before its own."""
    return replace(plan, notes=(*first, *plan.notes))


def with_builds(
    view: ClusterView, ports: Ports, *, version: str, restore: Path | None = None, migrates: bool = False
) -> Plan:
    """The plan; if templates are missing that we build, the plan of their builds, which the plan follows."""
    view = with_k3s(view, version)
    foreseen = replace(view, observed=with_planned(view))
    plan = plan_up(foreseen, version=version, restore=restore, migrates=migrates)
    asked = wanted_builds(view.spec, plan)
    if asked is None:
        return plan
    check_wanted_builds(view, asked)
    builds = builds_for(view, ports, asked, version=version)
    if not builds_of(builds):
        raise PreflightError(
            f"the template of {asked.image} with k3s {version} exists, but no machine can be cloned from it",
            details="\n".join(builds.notes),
            resolution=Advice("check it in Proxmox, or build another: `homelab-k8s template build --again`"),
        )
    notes = dict.fromkeys((*builds.notes, *plan.notes))
    return replace(
        builds,
        command="up",
        machines=plan.machines,
        notes=tuple(notes),
        marked=plan.marked,
        follows=(plan,),
        unreached=plan.unreached,
    )
