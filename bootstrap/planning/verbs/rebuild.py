"""Plans `rebuild`: all machines are removed and created again. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.model.cluster import ClusterSpec, KeptMachine
from bootstrap.model.machine import MachineSpec, NodePool, RecordState
from bootstrap.model.observed import Observed, PveNodeFacts, VmRecord
from bootstrap.planning.day2_steps import NoteRebuild, SaveIdentity, TakeSnapshot
from bootstrap.planning.plan import Gate, Lane, LaneStep, Plan, steps_of
from bootstrap.planning.provision.joining import access_lane, fetched
from bootstrap.planning.steps import FetchK3s
from bootstrap.planning.verbs.down import LOCAL_FILES, plan_down
from bootstrap.records.state.rebuild_note import PoolSize, RebuildNote, render_rebuild

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


NOTED = Gate("noted")


def with_rebuild(rebuild: RebuildNote, spec: ClusterSpec) -> ClusterSpec:
    """The spec of the cluster that comes; machines whose identity is kept all come, whatever the inventory says."""
    sizes = {size.pool: size for size in rebuild.pools}

    def sized(pool: NodePool) -> NodePool:
        kept = sum(machine.pool == pool.name for machine in rebuild.kept)
        return _sized(pool, sizes.get(pool.name), kept=kept)

    return replace(
        spec, control_plane=sized(spec.control_plane), workers=tuple(map(sized, spec.workers)), kept=rebuild.kept
    )


def corrected(rebuild: RebuildNote, spec: ClusterSpec) -> RebuildNote:
    """The rebuild with the k3s version that the inventory (or a flag) states now, if it states one."""
    return replace(rebuild, version=spec.k3s.version) if spec.k3s.version is not None else rebuild


def correction_notes(noted: RebuildNote, now: RebuildNote) -> Iterator[str]:
    """What a rebuild under way does otherwise than it was begun with, a line each."""
    if now.version != noted.version:
        yield f"the rebuild was started with k3s {noted.version}; the inventory says {now.version} now, which is used"
    if now.snapshot != noted.snapshot:
        yield f"the rebuild was started with {noted.snapshot or 'no snapshot'}; {now.snapshot} is restored now"


def address_notes(view: ClusterView, rebuild: RebuildNote) -> Iterator[str]:
    """That kubeconfigs name an address which DHCP may give to nobody any more, though the identity is kept."""
    if view.spec.vip is not None:
        return
    known = dict(view.observed.addresses)
    if view.spec.api_name is not None:
        name = view.spec.api_name
        yield f"the servers' addresses come from DHCP and may change: point {name} to the new ones then"
        return
    servers = [kept for kept in rebuild.kept if kept.pool == view.spec.control_plane.name and kept.address is None]
    for server in servers[:1]:
        address = f"https://{known[server.name]}:6443" if server.name in known else f"the address of {server.name}"
        yield Advice(
            "kubeconfigs name {}, which comes from DHCP and may change: yours is updated then, copies stop working "
            "(`homelab-k8s kubeconfig` prints a new one); to avoid that, set a VIP or a DNS name for the API: "
            "`control_plane.vip` or `control_plane.api_name` in the inventory",
            address,
        )


def _sized(pool: NodePool, size: PoolSize | None, *, kept: int) -> NodePool:
    if size is None:
        return pool
    return replace(
        pool,
        count=max(pool.count if "count" in pool.stated else size.count, kept),
        cores=pool.cores if "cores" in pool.stated else size.cores,
        memory_mib=pool.memory_mib if "memory_mib" in pool.stated else size.memory_mib,
        disk_gib=pool.disk_gib if "disk_gib" in pool.stated else size.disk_gib,
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
    """What of the machines there are can come back; those on their way out do not."""
    staying = ((vm, record) for vm, record in view.machines if record.state is not RecordState.LEAVING)
    found = {record.machine: (vm, record) for vm, record in staying}  # of several VMs of one machine one comes back
    return tuple(
        KeptMachine(name=record.machine, pool=record.pool, mac=vm.mac, address=record.address)
        for _, (vm, record) in sorted(found.items())
    )


def without_machines(view: ClusterView) -> Observed:
    """What would be seen once all our machines are gone."""
    return replace(
        view.observed,
        vms=tuple(vm for vm in view.observed.vms if vm not in view.vms),
        used_vmids=view.observed.used_vmids - {vm.vmid for vm in view.vms},
        kube_nodes=None,
        kube_problem="the cluster will be rebuilt",
        addresses=(),
        vip_holder=None,
        pve_nodes=tuple(_relieved(facts, view.vms) for facts in view.observed.pve_nodes),
    )


def _relieved(facts: PveNodeFacts, ours: tuple[VmRecord, ...]) -> PveNodeFacts:
    counted = [vm for vm in ours if vm.pve_node == facts.name and (vm.running or vm.onboot)]
    return replace(
        facts,
        committed_cores=facts.committed_cores - sum(vm.cores for vm in counted),
        committed_memory_mib=facts.committed_memory_mib - sum(vm.memory_mib for vm in counted),
    )


def plan_teardown(
    view: ClusterView,
    rebuild: RebuildNote,
    *,
    coming: Plan,
    through: MachineSpec | None,
    saves: tuple[TakeSnapshot | SaveIdentity, ...],
) -> Plan:
    """Plan how the old machines go; none goes before what is to be kept is here, and noted.

    Args:
        view: The cluster, as wanted and as seen.
        rebuild: What is noted.
        coming: The plan of the machines that come afterwards.
        through: A healthy server; needed where anything is to be saved.
        saves: What is saved first.
    """
    down = plan_down(view, has_traces=False)
    # What the new machines need is here before the old ones go.
    fetches = _fetches(coming)
    fetching = (Lane(name="k3s", steps=fetches),) if fetches else ()
    note = LaneStep(
        step=NoteRebuild(cluster=view.spec.name, note=render_rebuild(rebuild)),
        needs=tuple(gate for step in fetches for gate in step.opens),
        opens=(NOTED,),
    )
    going = [_after(lane, NOTED) for lane in down.lanes if lane.name != LOCAL_FILES]
    if through is None or not saves:
        lanes = (*fetching, Lane(name="state", steps=(note,)), *going)
    else:
        # One lane a machine: the server that all is saved from goes on in the lane in which it was asked.
        own = next((lane for lane in going if lane.name == through.name), None)
        goes = own.steps if own is not None else ()
        save = access_lane(view.spec, through, further=(*(LaneStep(step=step) for step in saves), note, *goes))
        lanes = (*fetching, save, *(lane for lane in going if lane is not own))
    return replace(down, command="rebuild", lanes=lanes)


def _fetches(coming: Plan) -> tuple[LaneStep, ...]:
    steps = steps_of(coming, FetchK3s)
    return tuple(LaneStep(step=step, opens=(fetched(step.version, step.arch),)) for step in steps)


def _after(lane: Lane, gate: Gate) -> Lane:
    first = lane.steps[0]
    return replace(lane, steps=(replace(first, needs=(*first.needs, gate)), *lane.steps[1:]))
