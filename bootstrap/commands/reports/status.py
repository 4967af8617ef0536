"""`status`: machines and Kubernetes nodes side by side, what they run on, what is wrong and what fixes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from bootstrap.advice import Advice
from bootstrap.commands.locked.marker import read_lock
from bootstrap.commands.locked.rebuild_state import read_rebuild
from bootstrap.commands.locked.unfinished import unfinished
from bootstrap.commands.manifests.looking import with_manifests
from bootstrap.commands.observing.guests import Guest, ask_all, server_guests
from bootstrap.commands.observing.liveness import with_units
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.privileges import unseen_vms
from bootstrap.commands.observing.settings import with_settings, with_systems
from bootstrap.commands.reports.machine_rows import machine_rows
from bootstrap.commands.reports.snapshots import recorded_snapshots
from bootstrap.commands.reports.status_values import ApiCertificate, ClusterStatus, Datastore, SnapshotsStatus, Vip
from bootstrap.errors import HomelabError, PreflightError
from bootstrap.k3s.kubeconfig.build import API_PORT
from bootstrap.k3s.worker_token import worker_token
from bootstrap.model.access.rights import MissingPrivileges
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.observed import Observed, Snapshot
from bootstrap.planning.capacity.maintenance import in_maintenance
from bootstrap.planning.checks.runtime import API_CERTIFICATE_DAYS
from bootstrap.planning.checks.status_problems import problems_of
from bootstrap.planning.manifests.plan import sync_notices
from bootstrap.planning.members.existing_sizes import with_existing_sizes
from bootstrap.planning.members.foreign import foreign_notices
from bootstrap.planning.provision.unfinished import unfinished_line
from bootstrap.planning.settings.snapshot_retention import is_own
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.records.vms.lock import LockRecord, marker_of


def cluster_status(spec: ClusterSpec, ports: Ports, *, seen: Observed | None = None) -> ClusterStatus:
    """Observe and report. Reads only.

    With `seen`, what a plan was made from a moment ago, it does not observe again.
    """
    view = ClusterView(spec, seen) if seen is not None else _observed(spec, ports)
    view = with_existing_sizes(view)
    found = status_of(view)
    unseen = unseen_vms(spec, ports, view.observed.vms)
    if unseen is not None:
        return replace(found, machines=(), notices=(), problems=(*_rebuild_problems(spec, ports), _unseen(unseen)))
    holder = _at_work(view, ports)
    certificate = _certificate(view, ports)
    has_etcd = found.datastore is not None and found.datastore.kind == "etcd"
    snapshots = _snapshots(view, ports) if has_etcd else None
    return replace(
        found,
        certificate=certificate,
        snapshots=snapshots,
        at_work=str(holder) if holder is not None else "",
        problems=(
            *_rebuild_problems(spec, ports),
            *_unfinished_problems(view, ports, holder),
            *found.problems,
            *_certificate_problems(certificate),
            *_snapshot_problems(snapshots),
        ),
    )


def _observed(spec: ClusterSpec, ports: Ports) -> ClusterView:
    view = with_units(observe_cluster(spec, ports, patient=False), ports, every=True)
    return with_manifests(with_systems(with_settings(with_existing_sizes(view), ports), ports), ports, strict=False)


def _unseen(lack: MissingPrivileges) -> str:
    """Proxmox VE shows a token without VM.Audit empty lists, which do not mean that there are no VMs."""
    return (
        f"this token may not see VMs (no VM.Audit on {lack.path}), so it is unknown whether the cluster exists; as "
        f"root on a Proxmox node: {lack.remedy}"
    )


def status_of(view: ClusterView) -> ClusterStatus:
    """What an observation means, of a view with existing sizes."""
    vip = view.spec.vip
    try:
        wanted = view.states
    except PreflightError:
        wanted = ()  # a full address range is a problem of `up`, not of `status`
    return ClusterStatus(
        cluster=view.spec.name,
        machines=tuple(machine_rows(view, wanted)),
        problems=problems_of(view, wanted),
        notices=(*foreign_notices(view), *sync_notices(view)),
        vip=Vip(address=vip.address, holder=view.observed.vip_holder) if vip else None,
        datastore=_datastore(view),
        maintenance=tuple(sorted(in_maintenance(view).items())),
        worker_token=worker_token(view.observed),
    )


def _datastore(view: ClusterView) -> Datastore | None:
    if not view.kube_servers:
        return None
    kind, members = ("sqlite", view.kube_servers) if view.on_sqlite else ("etcd", view.etcd_members)
    return Datastore(kind=kind, members=len(members), ready=sum(server.ready for server in members))


def _rebuild_problems(spec: ClusterSpec, ports: Ports) -> Iterator[str]:
    try:
        under_way = read_rebuild(spec.name, ports)
    except HomelabError as error:
        yield str(error)
        return
    if under_way is not None:
        yield Advice("a rebuild of the cluster is in progress; if it was interrupted: `homelab-k8s rebuild`")


def _certificate(view: ClusterView, ports: Ports) -> ApiCertificate | None:
    """The one that ends first; a server that shows none is not up, which other problems say."""

    def look(server: Guest) -> ApiCertificate | None:
        try:
            days_left = ports.probes.certificate(server.address, API_PORT).days_left
        except HomelabError:
            return None
        return ApiCertificate(machine=server.name, days_left=days_left)

    found = [certificate for certificate in ask_all(server_guests(view), look) if certificate is not None]
    return min(found, key=lambda certificate: certificate.days_left, default=None)


def _certificate_problems(certificate: ApiCertificate | None) -> Iterator[str]:
    if certificate is None or certificate.days_left >= API_CERTIFICATE_DAYS:
        return
    name, days = certificate.machine, certificate.days_left
    when = f"ends in {days:.0f} days" if days > 0 else f"ended {-days:.0f} days ago"
    yield Advice(
        "the API's certificate of {} {}; k3s renews it at a restart: `homelab-k8s ssh {} -- sudo systemctl restart "
        "k3s`",
        name,
        when,
        name,
    )


def _snapshots(view: ClusterView, ports: Ports) -> SnapshotsStatus | None:
    told = recorded_snapshots(view, ports)
    if told is None:
        return None
    own = [snapshot for snapshot in told if is_own(snapshot, view.spec)]
    newest = _newest(snapshot for snapshot in own if not snapshot.problem)
    last = _newest(snapshot for snapshot in own if not snapshot.location.startswith("file://"))
    return SnapshotsStatus(
        count=len(own),
        newest=newest,
        age_s=_age_s(newest, ports),
        unsent=last if last is not None and last.problem else None,
    )


def _age_s(snapshot: Snapshot | None, ports: Ports) -> float | None:
    made = snapshot.made if snapshot is not None else None
    return max(0.0, ports.processes.unix_s() - made.timestamp()) if made is not None else None


def _newest(snapshots: Iterable[Snapshot]) -> Snapshot | None:
    return max(snapshots, key=lambda snapshot: snapshot.made or datetime.min.replace(tzinfo=UTC), default=None)


def _snapshot_problems(snapshots: SnapshotsStatus | None) -> Iterator[str]:
    """That the last one was not uploaded: k3s reports nothing of its scheduled snapshots."""
    unsent = snapshots.unsent if snapshots is not None else None
    if unsent is not None:
        yield Advice(
            "the snapshot {} is not in the bucket: {}; check endpoint, keys and rights "
            "(backup.s3 in the inventory), then `homelab-k8s backup --to s3`",
            unsent.name,
            unsent.problem,
        )


def _at_work(view: ClusterView, ports: Ports) -> LockRecord | None:
    vm = marker_of(view.spec.name, view.observed.vms)
    marker = ports.markers.find(vm.vmid) if vm is not None else None
    return read_lock(marker, ports) if marker is not None else None


def _unfinished_problems(view: ClusterView, ports: Ports, holder: LockRecord | None) -> Iterator[str]:
    """The command that was interrupted or failed, unless it runs now."""
    if holder is not None and ports.processes.state(holder.process) is not False:
        return
    noted = unfinished(view, ports)
    if noted is not None:
        yield unfinished_line(noted)
