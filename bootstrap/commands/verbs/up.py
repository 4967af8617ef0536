"""`up`: the cluster as the inventory says, from nothing, from half or from all of it."""

from __future__ import annotations

from collections.abc import Sequence
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
from bootstrap.commands.observing.ip_conflicts import with_conflicts
from bootstrap.commands.observing.liveness import with_units
from bootstrap.commands.observing.needs import check_artifact_directory, check_state_room
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.privileges import check_rights, rights_needed
from bootstrap.commands.observing.settings import with_settings
from bootstrap.commands.observing.ssh_keys import check_keys
from bootstrap.commands.verb import Verb
from bootstrap.commands.verbs.template import builds_for
from bootstrap.errors import ArtifactError, HomelabError, PreflightError
from bootstrap.events import EventSink, Told
from bootstrap.execution.one_run import OneRun
from bootstrap.execution.report import Report
from bootstrap.k3s.versions import parse_version
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Observed
from bootstrap.planning.checks.api_name import leads_elsewhere
from bootstrap.planning.checks.doctor import OLDEST_MAJOR
from bootstrap.planning.healthy_server import healthy_server
from bootstrap.planning.members.authorize import refusing_lines
from bootstrap.planning.members.existing_sizes import with_existing_sizes
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.planning.provision.successors import declare_lost
from bootstrap.planning.provision.unfinished import notes_for_up
from bootstrap.planning.settings.drift import serves_vip
from bootstrap.planning.steps import FetchK3s
from bootstrap.planning.templates.build import builds_of
from bootstrap.planning.templates.machine_images import all_bases
from bootstrap.planning.templates.planned import check_wanted_builds, wanted_builds, with_planned
from bootstrap.planning.templates.templates import matching_templates
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
        resolved: The version the inventory means, where that was found out a moment ago.
        rebuild: A rebuild that is to be finished, corrected; None: the one that is noted, if one is.
    """

    replace_unreachable: Sequence[MachineName] = ()
    resolved: str | None = None
    rebuild: RebuildNote | None = None

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`; the k3s version is chosen, and the token's rights are checked."""
        resolved = self.resolved
        observed = observe_cluster(spec, ports)
        check_version(observed)
        check_keys(spec, ports, observed)
        rebuild = self.rebuild or under_way(spec, ports, observed)
        said = (*_said(spec, ports, observed, rebuild), *api_name_notes(spec, ports, observed))
        if rebuild is not None:
            rebuild = corrected(rebuild, spec)
            spec, resolved = with_rebuild(rebuild, spec), resolved or rebuild.version
        spec = with_existing_sizes(spec, observed)
        observed = declare_lost(ClusterView(spec, observed), self.replace_unreachable)
        if not _has_work(spec, observed):
            observed = with_units(spec, ports, observed, every=True)
        observed = with_settings(spec, ports, observed)
        if not _has_work(spec, observed):
            check_vip(spec, ports, observed)
            # A rebuild's note that is left over is forgotten by a run that finds nothing to do.
            said = (*said, *refusing_lines(ClusterView(spec, observed)))
            idle = with_notes(plan_up(ClusterView(spec, observed), version=""), said)
            marked = idle.marked or read_rebuild(spec.name, ports) is not None
            return replace(idle, marked=marked, refusing=observed.refusing)
        check_privileges(spec, ports, observed)
        check_state_room(ports)
        check_vip(spec, ports, observed)
        observed = with_conflicts(spec, ports, observed)
        version = choose_version(spec, ports, observed, resolved=resolved)
        begins = rebuild is not None and healthy_server(ClusterView(spec, observed)) is None
        restore = snapshot_of(rebuild, spec) if rebuild is not None and begins else None
        # Cut off between the data's coming back as sqlite and the move to etcd: the rebuild goes on with that.
        migrates = rebuild is not None and rebuild.snapshot is not None
        plan = with_builds(
            with_k3s(spec, version), ports, observed, version=version, restore=restore, migrates=migrates
        )
        check_artifact_directory(plan, spec, ports)
        return with_notes(plan, said)

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
        """With the version that the user has seen."""
        return replace(self, resolved=next((step.version for step in steps_of(plan, FetchK3s)), self.resolved))

    def spec_to_run(self, spec: ClusterSpec, ports: Ports) -> ClusterSpec:
        """The spec with what a rebuild that is under way is to keep."""
        noted = read_rebuild(spec.name, ports)
        return with_rebuild(noted, spec) if noted is not None else spec


def _has_work(spec: ClusterSpec, observed: Observed) -> bool:
    return any(machine_state.need for machine_state in ClusterView(spec, observed).states)


def _said(spec: ClusterSpec, ports: Ports, observed: Observed, rebuild: RebuildNote | None) -> tuple[str, ...]:
    """What the user should know of commands that did not finish, and of what becomes of them now."""
    if rebuild is not None:
        return tuple(correction_notes(rebuild, corrected(rebuild, spec)))
    if read_rebuild(spec.name, ports) is not None:
        note = "a rebuild was interrupted while machines were removed: `up` abandons it and creates the missing ones"
        return (note,)
    noted = unfinished(with_existing_sizes(spec, observed), ports, observed)
    return notes_for_up(noted, ClusterView(spec, observed)) if noted is not None else ()


def with_notes(plan: Plan, first: tuple[str, ...]) -> Plan:
    """The plan with further notes before its own."""
    return replace(plan, notes=(*first, *plan.notes)) if first else plan


def with_k3s(spec: ClusterSpec, version: str) -> ClusterSpec:
    """The spec, of several templates preferring the one that holds this k3s."""
    return replace(spec, template=replace(spec.template, k3s=version))


def with_builds(
    spec: ClusterSpec,
    ports: Ports,
    observed: Observed,
    *,
    version: str,
    restore: Path | None,
    migrates: bool = False,
) -> Plan:
    """The plan; where templates are missing that are ours to build, their builds, with the plan that follows them."""
    view = ClusterView(spec, observed)
    foreseen = with_planned(view)
    plan = plan_up(ClusterView(spec, foreseen), version=version, restore=restore, migrates=migrates)
    verb_options = wanted_builds(spec, plan)
    if verb_options is None:
        return plan
    check_wanted_builds(view, verb_options)
    builds = builds_for(spec, ports, observed, verb_options, version=version)
    if not builds_of(builds):
        raise PreflightError(
            f"the template of {verb_options.image} with k3s {version} exists, but no machine can be cloned from it",
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


def choose_version(spec: ClusterSpec, ports: Ports, observed: Observed, *, resolved: str | None = None) -> str:
    """What machines that join now get: the version the cluster's servers run, else what the inventory means.

    An agent must not be newer than its server (docs/k3s.md#upgrades), and `up` does not upgrade.
    """
    running = [
        parse_version(kube_node.version)
        for kube_node in observed.kube_nodes or ()
        if kube_node.ready and "control-plane" in kube_node.roles
    ]
    if not running:
        return resolved or ports.artifacts.resolve(spec.k3s)
    oldest = str(min(running))
    if spec.k3s.artifacts is None:
        return oldest
    try:
        return ports.artifacts.resolve(replace(spec.k3s, version=oldest))
    except ArtifactError as error:
        raise PreflightError(
            f"{spec.name} runs k3s {oldest}, which the artifact directory does not hold",
            details=str(error),
            resolution=f"put the files of {oldest} into {spec.k3s.artifacts / oldest}: joining machines "
            "must not be newer",
        ) from error


def check_version(observed: Observed) -> None:
    """Refuse a Proxmox VE that is too old. Raises PreflightError."""
    if observed.version.major < OLDEST_MAJOR:
        raise PreflightError(
            f"Proxmox VE {observed.version.text} is too old",
            details=f"`ciupgrade` and the x86-64-v2 CPU types came with Proxmox VE {OLDEST_MAJOR}",
            resolution="upgrade to Proxmox VE 8 or 9",
        )


def check_vip(spec: ClusterSpec, ports: Ports, observed: Observed) -> None:
    """Refuse to take an address for the API that somebody else has. Raises PreflightError."""
    if spec.vip is None or observed.vip_holder is not None:
        return
    if spec.vip.address.is_loopback:  # the lab's simulated guests: this machine answers at all of loopback
        return
    if any(address == spec.vip.address for _, address in observed.addresses):
        raise PreflightError(
            f"the VIP {spec.vip.address} is a machine's own address",
            resolution="choose one outside the DHCP range",
        )
    unknown = observed.kube_nodes is None and not _servers_run(spec, observed)
    if (unknown or not serves_vip(ClusterView(spec, observed))) and ports.probes.answers(spec.vip.address):
        raise PreflightError(
            f"the VIP {spec.vip.address} is in use: another machine answers at it",
            details="it must be a free address outside the DHCP range",
            resolution="choose another one as control_plane.vip",
        )


def api_name_notes(spec: ClusterSpec, ports: Ports, observed: Observed) -> tuple[str, ...]:
    """That the API's name leads elsewhere, in the user's DNS: a warning, since it can be fixed at any time."""
    if spec.api_name is None:
        return ()
    elsewhere = leads_elsewhere(ClusterView(spec, observed), ports.probes.resolve(spec.api_name))
    return (elsewhere,) if elsewhere else ()


def _servers_run(spec: ClusterSpec, observed: Observed) -> bool:
    """Whether servers of ours run, one of which may well have the address: not every guest agent answers."""
    return bool(ClusterView(spec, observed).running_servers)


def check_privileges(spec: ClusterSpec, ports: Ports, observed: Observed) -> None:
    """Refuse early what the token's missing rights would break halfway.

    This comes before planning: a token without rights sees empty lists, which would read as "no template".
    """
    view = ClusterView(spec, observed)
    rights = rights_needed(spec, matching_templates(view), observed, tuple(all_bases(view)))
    check_rights(ports, rights, what="`up`")
