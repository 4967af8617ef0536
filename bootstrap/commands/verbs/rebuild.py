"""`rebuild`: removes the cluster and creates it again, with its identity and data if asked for."""

from __future__ import annotations

from collections.abc import Iterator
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
from bootstrap.commands.manifests.looking import with_manifests
from bootstrap.commands.observing.guests import guests_of
from bootstrap.commands.observing.local_snapshots import check_local
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.preflight import (
    check_artifacts,
    check_keys,
    check_privileges,
    check_version,
    check_vip,
)
from bootstrap.commands.observing.versions import server_versions
from bootstrap.commands.verb import Verb
from bootstrap.commands.verbs.up import Up, with_builds, with_notes
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
from bootstrap.planning.checks.protection import check_cluster_removal
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
        snapshot: A snapshot's file here to restore the data from.
        latest_to: Take a snapshot first, into this directory, and restore it.
        older_is_meant: The version was passed for this rebuild (`--k3s-version`): it may be older than what runs, but
            not older than restored data.
        detach_disks: Disks of Kubernetes volumes are detached from the VMs that hold them; else these are not removed.
    """

    keep_identity: bool = False
    snapshot: Path | None = None
    latest_to: Path | None = None
    older_is_meant: bool = False
    detach_disks: bool = False

    @property
    def keeps_data(self) -> bool:
        """Whether Kubernetes' data is restored."""
        return self.snapshot is not None or self.latest_to is not None

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`, for both halves; checks that all that the second one needs is available.

        An interrupted rebuild is continued with the options of then, corrected by those of now and by the inventory's
        version.
        """
        noted = read_rebuild(spec.name, ports)
        if noted is not None and noted.stage is Stage.BUILDING:
            return self._plan_building(spec, ports, noted)
        check_cluster_removal(spec, command="rebuild")
        view = observe_cluster(spec, ports)
        require_reachable(view, what=f"{spec.name} cannot be rebuilt")
        check_version(view)
        check_keys(view, ports)
        check_privileges(view, ports)
        if self.keeps_data:
            check_families(spec, view.observed)  # the data has its nodes and services with their address families
        rebuild = self._corrected(noted, spec) if noted is not None else self._begin(view, ports)
        self._check_data(rebuild, view, ports, saved=noted is not None)
        after = with_manifests(replace(view, observed=without_machines(view)), ports)
        _check_vip(view, after, ports)
        # What a note names is saved already: the note is written after it.
        through = needed_server(view) if noted is None and self._saves_first else None
        up = with_builds(replace(after, spec=with_rebuild(rebuild, spec)), ports, version=rebuild.version)
        saves = self._saves(through.name) if through is not None else ()
        down = plan_teardown(view, rebuild, coming=up, through=through, saves=saves, detach_disks=self.detach_disks)
        check_artifacts(down, spec, ports)
        said = correction_notes(noted, rebuild) if noted is not None else _begin_notes(view, rebuild)
        return replace(down, follows=(up,), notes=(*said, *up.notes))

    def run(self, plan: Plan, spec: ClusterSpec, ports: Ports, *, sink: EventSink, options: RunOptions) -> Report:
        """As `Verb.run`: down, then up. Returns the report of both halves."""
        noted = read_rebuild(spec.name, ports)
        if noted is None or noted.stage is Stage.TEARING_DOWN:
            with OneRun(sink, ports.clock) as one_sink:
                torn = self._tear_down(plan, spec, ports, sink=one_sink, options=options)
                one_sink(Told(message=f"all machines of {spec.name} are removed; creating it again"))
                built = Up().run(Up().plan(spec, ports), spec, ports, sink=one_sink, options=options)
                return built.after(torn, at_s=one_sink.offset_s)
        rebuild = self._corrected(noted, spec)
        return Up(rebuild=rebuild).run(plan, spec, ports, sink=sink, options=options)

    def _plan_building(self, spec: ClusterSpec, ports: Ports, noted: RebuildNote) -> Plan:
        rebuild = self._corrected(noted, spec)
        plan = Up(rebuild=rebuild).plan(spec, ports)
        check_artifacts(plan, spec, ports)
        return with_notes(replace(plan, command="rebuild"), correction_notes(noted, rebuild))

    def _corrected(self, noted: RebuildNote, spec: ClusterSpec) -> RebuildNote:
        """The rebuild in progress with the options of now.

        Raises:
            PreflightError: It is too late for that.
        """
        if self.keep_identity and not noted.kept:
            raise PreflightError(
                "the interrupted rebuild was started without --keep-identity, so there is no saved identity",
                resolution=Advice("`homelab-k8s rebuild` continues it without; `homelab-k8s down` aborts it"),
            )
        if self.latest_to is not None and noted.snapshot is None:
            raise PreflightError(
                "the interrupted rebuild was started without --restore, so no snapshot was taken",
                resolution=Advice(
                    "pass a snapshot file (--restore FILE); or `homelab-k8s rebuild` continues without the data"
                ),
            )
        return replace(corrected(noted, spec), snapshot=self.snapshot or noted.snapshot)

    def _begin(self, view: ClusterView, ports: Ports) -> RebuildNote:
        return RebuildNote(
            stage=Stage.TEARING_DOWN,
            version=self._version(view, ports),
            pools=pool_sizes(with_existing_sizes(view).spec),
            kept=kept_machines(view) if self.keep_identity else (),
            snapshot=self.snapshot or self.latest_to,
        )

    def _version(self, view: ClusterView, ports: Ports) -> str:
        """The inventory's version. Where it states none: one that is older neither than what runs nor than the data."""
        k3s = view.spec.k3s
        floor = self._oldest_version(view, ports) if k3s.version is None else None
        # Data is read by the version that wrote it and by newer ones: where anything is kept, it stays.
        if floor is not None and (self.keep_identity or self.keeps_data):
            return floor
        version = ports.artifacts.resolve(k3s)
        return floor if floor is not None and is_release(version) and is_newer(floor, version) else version

    def _oldest_version(self, view: ClusterView, ports: Ports) -> str | None:
        """The newer of what runs and what the snapshot was taken with; None where neither is known."""
        floors = list(server_versions(view, ports))
        note = check_local(self.snapshot, view.spec) if self.snapshot is not None else None
        if note is not None and is_release(note.k3s_version):
            floors.append(note.k3s_version)
        return max(floors, key=parse_version, default=None)

    def _check_data(self, rebuild: RebuildNote, view: ClusterView, ports: Ports, *, saved: bool) -> None:
        """Refuse a version that could not read the data, or that is older than what runs unless that was asked for.

        With `saved`, an earlier run has fetched the data already; otherwise `latest` is still to be taken.

        Raises:
            PreflightError: With what to edit.
        """
        spec = view.spec
        is_taken_first = self.latest_to is not None and not saved
        if rebuild.snapshot is not None and not is_taken_first:
            snapshot_of(rebuild, spec)
        installed = server_versions(view, ports)
        if not installed or (self.older_is_meant and not is_taken_first):
            return
        running = max(installed, key=parse_version)
        check_not_older(
            rebuild.version,
            running,
            what=f"which {spec.name} runs" + (" and the snapshot is taken with" if is_taken_first else ""),
            remedy=version_remedy(spec, running),
        )

    @property
    def _saves_first(self) -> bool:
        return self.keep_identity or self.latest_to is not None

    def _saves(self, server: MachineName) -> tuple[TakeSnapshot | SaveIdentity, ...]:
        take = TakeSnapshot(machine=server, name=SNAPSHOT_NAME, to=self.latest_to)
        save = SaveIdentity(machine=server)
        return (*([take] if self.latest_to is not None else []), *([save] if self.keep_identity else []))

    def _tear_down(
        self, plan: Plan, spec: ClusterSpec, ports: Ports, *, sink: EventSink, options: RunOptions
    ) -> Report:
        report = self.carry_out(plan, spec, ports, sink=sink, options=options)
        rebuild = read_rebuild(spec.name, ports)
        if rebuild is None:  # cannot be: the plan's first step writes it
            raise AssertionError(plan)
        if not rebuild.kept:
            _keep_token(spec, ports)
            # The new cluster has other CAs, and the user's entries are renewed all the same.
            note_marks(spec.name, ports)
            for item in _SECRETS:
                ports.state.write(spec.name, item, "")
        elif not ports.state.read(spec.name, AGENT_TOKEN):
            # No machine is left that has the servers' token only because it had to.
            ports.state.write(spec.name, AGENT_TOKEN, new_token())
        write_rebuild(spec.name, replace(rebuild, stage=Stage.BUILDING), ports)
        return report


def _check_vip(view: ClusterView, after: ClusterView, ports: Ports) -> None:
    """Refuse an address for the API that another machine has, if it is certain that none of our servers has it."""
    servers = {record.machine for vm, record in view.machines if vm in view.running_servers}
    if view.observed.vip_holder is None and servers <= guests_of(view).keys():
        check_vip(after, ports)


def _begin_notes(view: ClusterView, rebuild: RebuildNote) -> Iterator[str]:
    """Which machines do not come back as they are, or come though the inventory wants fewer."""
    pools = {pool.name for pool in view.spec.pools}
    for name in sorted({kept.pool for kept in rebuild.kept if kept.pool not in pools}):
        yield f"the pool {name} is not in the inventory: its machines are not recreated"
    if rebuild.kept:
        yield from address_notes(view, rebuild)
        kept = with_existing_sizes(replace(view, spec=with_rebuild(rebuild, view.spec)))
        yield from count_notes(with_existing_sizes(view).spec, kept.spec, command="rebuild")


def _keep_token(spec: ClusterSpec, ports: Ports) -> None:
    """Keep the token with which snapshots until now are read, if they have none beside them."""
    token = short_form(ports.state.read(spec.name, TOKEN) or "")
    if token:
        before = parse_old_tokens(ports.state.read(spec.name, OLD_TOKENS) or "")
        after = with_old_token(before, token, until_s=ports.processes.unix_s())
        ports.state.write(spec.name, OLD_TOKENS, render_old_tokens(after))
