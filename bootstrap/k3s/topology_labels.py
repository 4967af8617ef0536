"""Kubernetes' topology labels of a machine: the Proxmox node it is on is its zone, the cluster its region. Pure.

They are set through the API, never by the kubelet: it would put the zone a machine was born in back at each start, also
after the machine was migrated.
"""

from __future__ import annotations

from dataclasses import replace

from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import PveNodeName
from bootstrap.model.machine import MachineSpec

ZONE = "topology.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"


def with_topology(spec: ClusterSpec, machine: MachineSpec, pve_node: PveNodeName | None) -> MachineSpec:
    """The machine with the labels of its place, where it has one; those of its pool come first."""
    if pve_node is None or not spec.labels_from_proxmox:
        return machine
    labels = {ZONE: str(pve_node), REGION: str(spec.name)} | dict(machine.labels)
    return replace(machine, labels=tuple(sorted(labels.items())))
