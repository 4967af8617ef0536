"""Where new machines go that replace others one after another: room is counted as it is at each turn. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bootstrap.errors import CapacityError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PveNodeName
from bootstrap.model.machine import MachineRecord, MachineSpec, RecordState
from bootstrap.model.observed import Observed, PveNodeFacts, VmRecord
from bootstrap.planning.capacity.placement import Sources, place
from bootstrap.planning.templates.machine_images import sources_for
from bootstrap.planning.view import ClusterView


@dataclass(frozen=True, kw_only=True)
class ReplacementPlaces:
    """Where new machines go.

    Attributes:
        of: Each new machine's Proxmox node.
        surge: Whether each is created before the one it replaces is removed; else there is no room for both.
    """

    of: Mapping[MachineName, PveNodeName]
    surge: bool


def place_replacements(
    view: ClusterView,
    pairs: Sequence[tuple[MachineSpec, VmRecord | None]],
    *,
    existing: Sequence[VmRecord],
    at_once: int,
    surge: bool,
) -> ReplacementPlaces:
    """Place each new machine as if those before it had replaced theirs already.

    Args:
        view: The cluster, as wanted and as seen.
        pairs: New machines in order, each with the VM that it replaces, if any.
        existing: The cluster's VMs now.
        at_once: How many are replaced at the same time.
        surge: Whether new ones are created first where there is room.

    Raises:
        CapacityError: There is no room even once the old machine is removed.
    """
    sources = sources_for(view, [machine for machine, _ in pairs])
    if surge:
        try:
            return ReplacementPlaces(of=_placed(view, pairs, existing, sources, behind=at_once), surge=True)
        except CapacityError:
            pass
    return ReplacementPlaces(of=_placed(view, pairs, existing, sources, behind=0), surge=False)


def _placed(
    view: ClusterView,
    pairs: Sequence[tuple[MachineSpec, VmRecord | None]],
    existing: Sequence[VmRecord],
    sources: Sources,
    *,
    behind: int,
) -> dict[MachineName, PveNodeName]:
    """Where the new machines go, if each old one is removed `behind` turns after its successor's."""
    chosen: dict[MachineName, PveNodeName] = {}
    here = list(existing)
    for turn, (machine, _) in enumerate(pairs):
        vm = pairs[turn - behind][1] if turn >= behind else None
        if vm is not None:
            here.remove(vm)
            view = replace(view, observed=freed(view.observed, vm))
        chosen[machine.name] = target = place(view, new=[machine], existing=here, sources=sources).of[machine.name]
        here.append(_placeholder(view.spec, machine, target))
        view = replace(view, observed=with_commitment(view.observed, target, machine.cores, machine.memory_mib))
    return chosen


def _placeholder(spec: ClusterSpec, machine: MachineSpec, pve_node: PveNodeName) -> VmRecord:
    """A new machine as those after it see it: servers keep apart from it too."""
    vmid = spec.placement.vmids.first
    record = MachineRecord(
        cluster=spec.name,
        machine=machine.name,
        role=machine.role,
        pool=machine.pool,
        vmid=vmid,
        state=RecordState.CLONING,
    )
    return VmRecord(vmid=vmid, name=machine.name, pve_node=pve_node, running=True, record=record)


def freed(observed: Observed, vm: VmRecord) -> Observed:
    """What is seen, with a VM's cores and memory free; one that is off for good has none in its Proxmox node's sums."""
    if not (vm.running or vm.onboot):
        return observed
    return with_commitment(observed, vm.pve_node, -vm.cores, -vm.memory_mib)


def with_commitment(observed: Observed, name: PveNodeName, cores: int, memory_mib: int) -> Observed:
    """What is seen, with that much more given to guests of a Proxmox node, or less."""

    def facts(pve_node: PveNodeFacts) -> PveNodeFacts:
        if pve_node.name != name:
            return pve_node
        return replace(
            pve_node,
            committed_cores=pve_node.committed_cores + cores,
            committed_memory_mib=pve_node.committed_memory_mib + memory_mib,
        )

    return replace(observed, pve_nodes=tuple(facts(pve_node) for pve_node in observed.pve_nodes))
