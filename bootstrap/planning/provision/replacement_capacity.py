"""Where machines go that replace others one after another: room is counted as it will be at each turn. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bootstrap.errors import CapacityError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PveNodeName
from bootstrap.model.machine import MachineRecord, MachineSpec, RecordState
from bootstrap.model.observed import Observed, PveNodeFacts, VmRecord
from bootstrap.planning.capacity.placement import Sources, place
from bootstrap.planning.view import ClusterView


@dataclass(frozen=True, kw_only=True)
class ReplacementPlaces:
    """How machines replace others.

    Attributes:
        of: Where each new machine goes.
        surge: Whether each comes before the one it replaces goes; else there is no room for both.
    """

    of: Mapping[MachineName, PveNodeName]
    surge: bool


def place_replacements(
    view: ClusterView,
    *,
    new: Sequence[MachineSpec],
    old: Sequence[VmRecord | None],
    existing: Sequence[VmRecord],
    sources: Sources,
    at_once: int,
    surge: bool,
) -> ReplacementPlaces:
    """Place each new machine as if those before it had been replaced already.

    Args:
        view: The cluster, as wanted and as seen.
        new: Machines to come, in order.
        old: What each replaces; None where that has no VM, or where nothing goes for it.
        existing: VMs of ours that are there now.
        sources: What they can be made of on each Proxmox node that may be used.
        at_once: How many are replaced at the same time.
        surge: Whether new ones come first where there is room.

    Raises:
        CapacityError: There is no room even once the old machine has gone.
    """
    for lead in (at_once, 0) if surge else (0,):
        try:
            return ReplacementPlaces(
                of=_placed(view.spec, view.observed, new, old, existing, sources, behind=lead), surge=lead > 0
            )
        except CapacityError:
            if lead == 0:
                raise
    raise AssertionError(at_once)  # cannot be: at least one machine is replaced at a time


def _placed(
    spec: ClusterSpec,
    observed: Observed,
    new: Sequence[MachineSpec],
    old: Sequence[VmRecord | None],
    existing: Sequence[VmRecord],
    sources: Sources,
    *,
    behind: int,
) -> dict[MachineName, PveNodeName]:
    chosen: dict[MachineName, PveNodeName] = {}
    here = list(existing)
    for turn, machine in enumerate(new):
        vm = old[turn - behind] if turn >= behind else None
        if vm is not None:
            here.remove(vm)
            observed = freed(observed, vm)
        place_of = place(ClusterView(spec, observed), new=[machine], existing=here, sources=sources).of[machine.name]
        chosen[machine.name] = place_of
        here.append(_placeholder(spec, machine, place_of))
        observed = with_commitment(observed, place_of, machine.cores, machine.memory_mib)
    return chosen


def _placeholder(spec: ClusterSpec, machine: MachineSpec, pve_node: PveNodeName) -> VmRecord:
    """A machine that is to come, as those after it see it: servers keep apart from it too."""
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
