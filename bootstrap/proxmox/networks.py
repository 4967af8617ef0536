"""Bridge and VLAN of a machine's network devices, by the cluster, its pool and its template. Pure."""

from __future__ import annotations

from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.machine import MachineShape
from bootstrap.model.observed import TemplateFacts

_FIRST_BRIDGE = "vmbr0"
"""What Proxmox VE's installer makes, and what a network device without a bridge of its own gets here."""


def bridge_of(spec: ClusterSpec, template: TemplateFacts | None, of: MachineShape | None = None) -> str:
    """The bridge a machine of this template is on; without `of`, one of a pool that names none itself."""
    return (of and of.network.bridge) or spec.network.bridge or (template.bridge if template else None) or _FIRST_BRIDGE


def vlan_of(spec: ClusterSpec, of: MachineShape) -> int | None:
    """The VLAN tag a machine is to have: the cluster's is not for pools on a bridge of their own."""
    if of.network.vlan is not None or of.network.bridge is not None:
        return of.network.vlan
    return spec.network.vlan


def bridges_of(spec: ClusterSpec, template: TemplateFacts | None, of: MachineShape) -> tuple[str, ...]:
    """The bridges of all network devices of a machine of this template."""
    storage = spec.network.storage
    return (bridge_of(spec, template, of), *((storage.bridge,) if storage else ()))
