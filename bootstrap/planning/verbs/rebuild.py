"""Plans `rebuild`: all machines are removed and created again. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.model.cluster import ClusterSpec, KeptMachine
from bootstrap.model.machine import MachineSpec, NodePool, RecordState
from bootstrap.model.observed import Observed
from bootstrap.planning.day2_steps import NoteRebuild, SaveIdentity, TakeSnapshot
from bootstrap.planning.plan import Gate, Lane, LaneStep, Plan, steps_of
from bootstrap.planning.provision.joining import access_lane, fetch_step
from bootstrap.planning.provision.replacement_capacity import freed
from bootstrap.planning.steps import FetchK3s
from bootstrap.planning.verbs.down import LOCAL_FILES, plan_down
from bootstrap.records.state.rebuild_note import PoolSize, RebuildNote, render_rebuild

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


NOTED = Gate("noted")


def with_rebuild(rebuild: RebuildNote, spec: ClusterSpec) -> ClusterSpec:
    """The spec of the new cluster; machines that keep their identity are all in it, whatever the inventory says."""
    sizes = {size.pool: size for size in rebuild.pools}

    def sized(pool: NodePool) -> NodePool:
        size = sizes.get(pool.name)
        if size is None:
            return pool
        kept = sum(machine.pool == pool.name for machine in rebuild.kept)
        own = {key: getattr(size, key) for key in ("cores", "memory_mib", "disk_gib") if key not in pool.stated}
        return replace(pool, count=max(pool.count if "count" in pool.stated else size.count, kept), **own)

    return replace(spec.with_pools(sized), kept=rebuild.kept)


def corrected(rebuild: RebuildNote, spec: ClusterSpec) -> RebuildNote:
    """The rebuild with the k3s version that the inventory or a flag states now, if any."""
    return replace(rebuild, version=spec.k3s.version) if spec.k3s.version is not None else rebuild


def correction_notes(noted: RebuildNote, now: RebuildNote) -> Iterator[str]:
    """In what an interrupted rebuild is continued otherwise than it was started, a line each."""
    if now.version != noted.version:
        yield f"the rebuild was started with k3s {noted.version}; the inventory says {now.version} now, which is used"
    if now.snapshot != noted.snapshot:
        yield f"the rebuild was started with {noted.snapshot or 'no snapshot'}; {now.snapshot} is restored now"


def address_notes(view: ClusterView, rebuild: RebuildNote) -> Iterator[str]:
    """That kubeconfigs name an address from DHCP, which may change though the identity is kept."""
    if view.spec.vip is not None:
        return
    if view.spec.api_name is not None:
        yield f"the servers' addresses come from DHCP and may change: point {view.spec.api_name} to the new ones then"
        return
    known = dict(view.observed.addresses)
    servers = [kept for kept in rebuild.kept if kept.pool == view.spec.control_plane.name and kept.address is None]
    for server in servers[:1]:
        address = f"https://{known[server.name]}:6443" if server.name in known else f"the address of {server.name}"
        yield Advice(
            "kubeconfigs name {}, which comes from DHCP and may change: yours is updated then, copies stop working "
            "(`homelab-k8s kubeconfig` prints a new one); to avoid that, set a VIP or a DNS name for the API: "
            "`control_plane.vip` or `control_plane.api_name` in the inventory",
            address,
        )


def pool_sizes(spec: ClusterSpec) -> tuple[PoolSize, ...]:
    """The sizes of a settled spec's pools."""
    return tuple(
        PoolSize(
            pool=pool.name,
            count=pool.count,
            cores=pool.cores,
            memory_mib=pool.memory_mib,
            disk_gib=pool.disk_gib,
        )
        for pool in spec.pools
    )


def kept_machines(view: ClusterView) -> tuple[KeptMachine, ...]:
    """The machines that can be created again as they are; not those that are being removed."""
    staying = ((vm, record) for vm, record in view.machines if record.state is not RecordState.LEAVING)
    found = {record.machine: (vm, record) for vm, record in staying}  # a machine with several VMs is one again
    return tuple(
        KeptMachine(name=record.machine, pool=record.pool, mac=vm.mac, address=record.address)
        for _, (vm, record) in sorted(found.items())
    )


def without_machines(view: ClusterView) -> Observed:
    """What would be seen once all machines of the cluster are removed."""
    return replace(
        reduce(freed, view.vms, view.observed),
        vms=tuple(vm for vm in view.observed.vms if vm not in view.vms),
        used_vmids=view.observed.used_vmids - {vm.vmid for vm in view.vms},
        kube_nodes=None,
        kube_problem="the cluster will be rebuilt",
        addresses=(),
        vip_holder=None,
    )


def plan_teardown(
    view: ClusterView,
    rebuild: RebuildNote,
    *,
    coming: Plan,
    through: MachineSpec | None,
    saves: tuple[TakeSnapshot | SaveIdentity, ...],
    detach_disks: bool = False,
) -> Plan:
    """Plan the removal of the old machines: none is removed before all that is kept is saved, and noted.

    Args:
        view: The cluster, as wanted and as seen.
        rebuild: What is noted.
        coming: The plan of the new machines.
        through: A healthy server; needed where anything is to be saved.
        saves: What is saved first.
        detach_disks: Whether disks of Kubernetes volumes are detached from the VMs that hold them.

    Raises:
        PreflightError: VMs hold such disks, and they may not be detached.
    """
    down = plan_down(view, has_traces=False, detach_disks=detach_disks, command="rebuild")
    # The releases that the new machines get are fetched before the old machines are removed.
    fetches = tuple(fetch_step(step.version, step.arch) for step in steps_of(coming, FetchK3s))
    note = LaneStep(
        step=NoteRebuild(cluster=view.spec.name, note=render_rebuild(rebuild)),
        needs=tuple(gate for step in fetches for gate in step.opens),
        opens=(NOTED,),
    )
    removals = {lane.name: _after(lane, NOTED) for lane in down.lanes if lane.name != LOCAL_FILES}
    if through is None or not saves:
        first = Lane.of("state", note)
    else:
        # A machine has one lane: the server that saves all is removed in the same lane.
        own = removals.pop(through.name, None)
        first = access_lane(view.spec, through, *saves, note, *(own.steps if own is not None else ()))
    fetching = (Lane(name="k3s", steps=fetches),) if fetches else ()
    return replace(down, command="rebuild", lanes=(*fetching, first, *removals.values()))


def _after(lane: Lane, gate: Gate) -> Lane:
    first, *others = lane.steps
    return replace(lane, steps=(replace(first, needs=(*first.needs, gate)), *others))
