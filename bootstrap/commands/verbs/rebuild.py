"""`rebuild`: tears the cluster down and builds it again, with its identity and data where that is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bootstrap.advice import Advice
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.locked.rebuild_state import (
    SNAPSHOT_NAME,
    read_rebuild,
    snapshot_of,
    version_remedy,
    write_rebuild,
)
from bootstrap.commands.observing.needs import check_artifacts
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.ssh_keys import check_keys
from bootstrap.commands.reports.snapshots import check_local, server_versions
from bootstrap.commands.verb import Verb
from bootstrap.commands.verbs.up import (
    Up,
    check_privileges,
    check_version,
    check_vip,
    with_builds,
    with_k3s,
    with_notes,
)
from bootstrap.errors import PreflightError
from bootstrap.events import EventSink, Told
from bootstrap.execution.handlers.cluster.kubeconfig import note_marks
from bootstrap.execution.k3s.identity import new_token
from bootstrap.execution.one_run import OneRun
from bootstrap.execution.report import Report
from bootstrap.k3s.dual_stack import check_families
from bootstrap.k3s.versions import check_not_older, is_newer, is_release, parse_version
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Observed
from bootstrap.planning.day2_steps import SaveIdentity, TakeSnapshot
from bootstrap.planning.healthy_server import needed_server
from bootstrap.planning.members.existing_sizes import with_existing_sizes
from bootstrap.planning.members.unreachable import require_reachable
from bootstrap.planning.plan import Plan
from bootstrap.planning.provision.kept_counts import count_notes
from bootstrap.planning.verbs.rebuild import (
    address_notes,
    corrected,
    correction_notes,
    kept_machines,
    plan_teardown,
    pool_sizes,
    with_rebuild,
    without_machines,
)
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.records.state.rebuild_note import RebuildNote, Stage
from bootstrap.records.state.state_items import AGENT_TOKEN, IDENTITY, KUBECONFIG, OLD_TOKENS, TOKEN
from bootstrap.records.state.token_history import parse_old_tokens, render_old_tokens, short_form, with_old_token

_SECRETS = (TOKEN, AGENT_TOKEN, KUBECONFIG, IDENTITY)


@dataclass(frozen=True, kw_only=True)
class Rebuild(Verb):
    """`rebuild`.

    Attributes:
        keep_identity: Machines keep names, MAC and fixed addresses; the cluster its CAs and token.
        snapshot: A snapshot's file here that the data comes from.
        latest_to: Take a snapshot first, into this directory, and bring its data back.
        older_is_meant: The version was named for this rebuild (`--k3s-version`): it may be older than what runs, as
            long as no data comes back that is newer.
    """

    keep_identity: bool = False
    snapshot: Path | None = None
    latest_to: Path | None = None
    older_is_meant: bool = False

    @property
    def keeps_data(self) -> bool:
        """Whether Kubernetes' data comes back."""
        return self.snapshot is not None or self.latest_to is not None

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`, both halves; all that the second one needs is looked for.

        A rebuild that was interrupted is continued, with what was asked of it then, corrected by what is asked now and
        by the version that the inventory states.
        """
        noted = read_rebuild(spec.name, ports)
        if noted is not None and noted.stage is Stage.BUILDING:
            return _prepare_building(spec, ports, noted, self)
        observed = observe_cluster(spec, ports)
        require_reachable(ClusterView(spec, observed), what=f"{spec.name} cannot be rebuilt")
        check_version(observed)
        check_keys(spec, ports, observed)
        check_privileges(spec, ports, observed)
        if self.keeps_data:
            check_families(spec, observed)  # the data has its nodes and services with their address families
        rebuild = _corrected(noted, spec, self) if noted is not None else _begin(spec, ports, observed, self)
        _check_data(rebuild, spec, ports, observed, self, saved=noted is not None)
        _check_vip(spec, ports, observed)
        # What was noted is here already: the note comes after it.
        saves = noted is None and (self.keep_identity or self.latest_to is not None)
        through = needed_server(ClusterView(spec, observed)) if saves else None
        wanted = with_k3s(with_rebuild(rebuild, spec), rebuild.version)
        after = without_machines(ClusterView(spec, observed))
        up = with_builds(wanted, ports, after, version=rebuild.version, restore=None)
        down = plan_teardown(
            ClusterView(spec, observed),
            rebuild,
            coming=up,
            through=through,
            saves=_saves(through.name, self) if through is not None else (),
        )
        check_artifacts(down, spec, ports)
        said = correction_notes(noted, rebuild) if noted is not None else _begin_notes(spec, observed, rebuild)
        return replace(down, follows=(up,), notes=(*said, *up.notes))

    def run(self, plan: Plan, spec: ClusterSpec, ports: Ports, *, sink: EventSink, options: RunOptions) -> Report:
        """As `Verb.run`: down, then up. Returns the report of both halves."""
        noted = read_rebuild(spec.name, ports)
        if noted is None or noted.stage is Stage.TEARING_DOWN:
            with OneRun(sink, ports.clock) as one_sink:
                torn = _tear_down(plan, spec, ports, self, sink=one_sink, options=options)
                one_sink(Told(message=f"all machines of {spec.name} are removed; creating it again"))
                built = Up().run(Up().plan(spec, ports), spec, ports, sink=one_sink, options=options)
                return built.after(torn, at_s=one_sink.offset_s)
        rebuild = _corrected(noted, spec, self)
        return Up(rebuild=rebuild).run(plan, spec, ports, sink=sink, options=options)


def _prepare_building(spec: ClusterSpec, ports: Ports, noted: RebuildNote, verb: Rebuild) -> Plan:
    rebuild = _corrected(noted, spec, verb)
    plan = Up(rebuild=rebuild).plan(spec, ports)
    check_artifacts(plan, spec, ports)
    return with_notes(replace(plan, command="rebuild"), tuple(correction_notes(noted, rebuild)))


def _corrected(noted: RebuildNote, spec: ClusterSpec, verb: Rebuild) -> RebuildNote:
    """The rebuild under way with what is asked of it now.

    Raises:
        PreflightError: It is too late for that.
    """
    if verb.keep_identity and not noted.kept:
        raise PreflightError(
            "the interrupted rebuild was started without --keep-identity, so there is no saved identity",
            resolution=Advice("`homelab-k8s rebuild` continues it without; `homelab-k8s down` aborts it"),
        )
    if verb.latest_to is not None and noted.snapshot is None:
        raise PreflightError(
            "the interrupted rebuild was started without --restore, so no snapshot was taken",
            resolution=Advice(
                "pass a snapshot file (--restore FILE); or `homelab-k8s rebuild` continues without the data"
            ),
        )
    return replace(corrected(noted, spec), snapshot=verb.snapshot or noted.snapshot)


def _check_data(
    rebuild: RebuildNote, spec: ClusterSpec, ports: Ports, observed: Observed, verb: Rebuild, *, saved: bool
) -> None:
    """Refuse a version that could not read the data, or that is older than what runs unless that is meant.

    Args:
        rebuild: What is to be done.
        spec: The cluster.
        ports: Where to look.
        observed: What there is.
        verb: What was asked for.
        saved: Whether an earlier run has the data here already; else `latest` is still to be taken.

    Raises:
        PreflightError: With what to edit.
    """
    is_taken_first = verb.latest_to is not None and not saved
    if rebuild.snapshot is not None and not is_taken_first:
        snapshot_of(replace(rebuild, stage=Stage.BUILDING), spec)
    installed = server_versions(spec, ports, observed)
    if not installed or (verb.older_is_meant and not is_taken_first):
        return
    running = max(installed, key=parse_version)
    check_not_older(
        rebuild.version,
        running,
        what=f"which {spec.name} runs" + (" and the snapshot is taken with" if is_taken_first else ""),
        remedy=version_remedy(spec, running),
    )


def _check_vip(spec: ClusterSpec, ports: Ports, observed: Observed) -> None:
    """Refuse an address for the API that somebody else has, where it is sure that it is none of our servers."""
    asked = dict(observed.addresses)
    view = ClusterView(spec, observed)
    servers = [record.machine for vm, record in view.machines if vm in view.running_servers]
    if observed.vip_holder is None and all(name in asked for name in servers):
        check_vip(spec, ports, without_machines(view))


def _saves(server: MachineName, verb: Rebuild) -> tuple[TakeSnapshot | SaveIdentity, ...]:
    take = (TakeSnapshot(machine=server, name=SNAPSHOT_NAME, to=verb.latest_to),) if verb.latest_to is not None else ()
    save = (SaveIdentity(machine=server),) if verb.keep_identity else ()
    return (*take, *save)


def _begin(spec: ClusterSpec, ports: Ports, observed: Observed, verb: Rebuild) -> RebuildNote:
    return RebuildNote(
        stage=Stage.TEARING_DOWN,
        version=_version(spec, ports, observed, verb),
        pools=pool_sizes(with_existing_sizes(spec, observed)),
        kept=kept_machines(ClusterView(spec, observed)) if verb.keep_identity else (),
        snapshot=verb.snapshot or verb.latest_to,
    )


def _version(spec: ClusterSpec, ports: Ports, observed: Observed, verb: Rebuild) -> str:
    """The inventory's version. Where it states none: one that is older neither than what runs nor than the data."""
    if spec.k3s.version is not None:
        return ports.artifacts.resolve(spec.k3s)
    floors = list(server_versions(spec, ports, observed))
    note = check_local(verb.snapshot, spec) if verb.snapshot is not None else None
    if note is not None and is_release(note.k3s_version):
        floors.append(note.k3s_version)
    floor = max(floors, key=parse_version, default=None)
    # Data is read by the version that wrote it and by newer ones: where anything is kept, it stays.
    if floor is not None and (verb.keep_identity or verb.keeps_data):
        return floor
    version = ports.artifacts.resolve(spec.k3s)
    return floor if floor is not None and is_release(version) and is_newer(floor, version) else version


def _begin_notes(spec: ClusterSpec, observed: Observed, rebuild: RebuildNote) -> tuple[str, ...]:
    """What of the machines that there are does not come back as it is, or comes though the inventory wants fewer."""
    pools = {pool.name for pool in spec.pools}
    lost = sorted({kept.pool for kept in rebuild.kept if kept.pool not in pools})
    notes = [f"the pool {name} is not in the inventory: its machines are not recreated" for name in lost]
    if rebuild.kept:
        wanted = with_existing_sizes(spec, observed)
        notes += address_notes(ClusterView(spec, observed), rebuild)
        notes += count_notes(wanted, with_existing_sizes(with_rebuild(rebuild, spec), observed), command="rebuild")
    return tuple(notes)


def _tear_down(
    plan: Plan, spec: ClusterSpec, ports: Ports, verb: Rebuild, *, sink: EventSink, options: RunOptions
) -> Report:
    report = verb.carry_out(plan, spec, ports, sink=sink, options=options)
    rebuild = read_rebuild(spec.name, ports)
    if rebuild is None:  # cannot be: the plan's first step writes it
        raise AssertionError(plan)
    if not rebuild.kept:
        _keep_token(spec, ports)
        note_marks(
            spec.name, ports
        )  # the cluster that comes has other CAs, and the user's entries are renewed all the same
        for item in _SECRETS:
            ports.state.write(spec.name, item, "")
    elif not ports.state.read(spec.name, AGENT_TOKEN):
        # No machine is left that has the servers' token only because it had to.
        ports.state.write(spec.name, AGENT_TOKEN, new_token())
    write_rebuild(spec.name, replace(rebuild, stage=Stage.BUILDING), ports)
    return report


def _keep_token(spec: ClusterSpec, ports: Ports) -> None:
    """Snapshots that were taken until now, and have no token beside them, are read with the one that counted."""
    token = short_form(ports.state.read(spec.name, TOKEN) or "")
    if token:
        before = parse_old_tokens(ports.state.read(spec.name, OLD_TOKENS) or "")
        after = with_old_token(before, token, until_s=ports.processes.unix_s())
        ports.state.write(spec.name, OLD_TOKENS, render_old_tokens(after))
