"""Finds the machines that a user names, and their addresses. Reads only."""

from __future__ import annotations

from collections.abc import Sequence

from bootstrap.advice import Advice
from bootstrap.commands.observing.guests import Guest
from bootstrap.commands.observing.privileges import check_sight
from bootstrap.errors import GuestError, UsageError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import ClusterName, MachineName, PoolName
from bootstrap.model.machine import MachineRecord
from bootstrap.model.observed import VmRecord
from bootstrap.model.words import did_you_mean
from bootstrap.planning.capacity.addresses import choose_address
from bootstrap.ports import Ports
from bootstrap.records.vms.machine import is_ours

Machine = tuple[VmRecord, MachineRecord]


def own_machines(spec: ClusterSpec, ports: Ports) -> list[Machine]:
    """The cluster's machines, servers first."""
    vms = ports.hypervisor.machines()
    check_sight(spec, ports, vms)
    ours = [(vm, vm.record) for vm in vms if vm.record and is_ours(vm, spec.name)]
    return sorted(ours, key=lambda each: (each[1].role, each[0].vmid))


def find_machine(name: str, machines: Sequence[Machine], cluster: ClusterName) -> Machine:
    """The machine that a user means: `demo-cp-1`, or `cp-1` for short.

    Raises:
        UsageError: There is none.
    """
    known = {record.machine: (vm, record) for vm, record in machines}
    found = known.get(MachineName(name)) or known.get(MachineName(f"{cluster}-{name}"))
    if found is None:
        raise UsageError(
            f"{cluster} has no machine {name}",
            details=f"its machines: {', '.join(known) or 'none'}",
            resolution=did_you_mean(name, [*known, *(short.removeprefix(f"{cluster}-") for short in known)])
            or Advice("`homelab-k8s status` lists them"),
        )
    return found


def choose_machines(
    machines: Sequence[Machine], cluster: ClusterName, *, pool: PoolName | None, names: Sequence[str]
) -> list[Machine]:
    """The machines that are named, each once; without names those of a pool; with neither all.

    Raises:
        UsageError: There is no such pool or machine, or there are no machines at all.
    """
    if names:
        found = (find_machine(name, machines, cluster) for name in names)
        return list({record.machine: (vm, record) for vm, record in found}.values())
    if pool is not None:
        return _of_pool(machines, cluster, pool)
    if not machines:
        raise UsageError(f"{cluster} has no machines", resolution=Advice("`homelab-k8s up` creates them"))
    return list(machines)


def _of_pool(machines: Sequence[Machine], cluster: ClusterName, pool: PoolName) -> list[Machine]:
    chosen = [each for each in machines if each[1].pool == pool]
    if not chosen:
        pools = sorted({record.pool for _, record in machines})
        raise UsageError(
            f"{cluster} has no machines in a pool {pool}",
            details=f"its pools: {', '.join(pools) or 'none'}",
            resolution=did_you_mean(pool, pools) or Advice("`homelab-k8s status -o wide` lists them"),
        )
    return chosen


def reach(machine: Machine, spec: ClusterSpec, ports: Ports) -> Guest:
    """A machine with its own address, as its guest agent reports it now. Raises HomelabError."""
    vm, record = machine
    if vm.idle:
        raise GuestError(f"{record.machine} is {vm.idle}", resolution=Advice("`homelab-k8s up` starts it"))
    seen = ports.hypervisor.guest_interfaces(vm.vmid, pve_node=vm.pve_node)
    shared = (spec.vip.address,) if spec.vip else ()
    chosen = choose_address(seen, mac=vm.mac, subnet=spec.network.subnet, besides=shared)
    if isinstance(chosen, str):
        raise GuestError(f"{record.machine} has no address to log in at", details=chosen)
    return Guest(vm, record, chosen)
