"""Proxmox nodes in maintenance, by the inventory or by Proxmox HA, and what plans say of VMs that HA manages."""

from __future__ import annotations

from collections.abc import Mapping

from bootstrap.model.ids import PveNodeName
from bootstrap.model.observed import VmRecord
from bootstrap.planning.view import ClusterView

BY_INVENTORY = "proxmox.nodes"
BY_HA = "Proxmox HA"


def in_maintenance(view: ClusterView) -> Mapping[PveNodeName, str]:
    """Proxmox nodes that get no new machine for now, each with who says so; only those that the inventory allows."""
    by_ha = [facts.name for facts in view.observed.pve_nodes if facts.maintenance and view.may_use(facts.name)]
    return {**dict.fromkeys(by_ha, BY_HA), **dict.fromkeys(view.spec.placement.maintenance, BY_INVENTORY)}


def removal_reason(reason: str, vm: VmRecord) -> str:
    """Why a machine is removed, and that its removal takes it out of Proxmox HA."""
    return "; ".join(filter(None, (reason, "managed by Proxmox HA; removed from HA" if vm.ha_managed else "")))
