"""Names that must not be mixed up, each a type of its own."""

from __future__ import annotations

from typing import NewType

ClusterName = NewType("ClusterName", str)
"""A cluster's name: a DNS label of at most 32 characters."""

MachineName = NewType("MachineName", str)
"""A machine's name; also the VM's, the guest's host name and the Kubernetes node's."""

PoolName = NewType("PoolName", str)
"""A node pool's name: a DNS label of at most 20 characters."""

PveNodeName = NewType("PveNodeName", str)
"""A Proxmox node's name."""

StorageName = NewType("StorageName", str)
"""A Proxmox storage's name."""

Vmid = NewType("Vmid", int)
"""A Proxmox VM id: 100 to 999999999, unique in a Proxmox cluster."""

CLUSTER_NAME_FORM = "[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?"
"""The form of a cluster's name; it becomes a part of paths."""

POOL_NAME_FORM = "[a-z](?:[a-z0-9-]{0,18}[a-z0-9])?"
"""The form of a pool's name."""

MACHINE_NAME_FORM = "[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
"""The form of a machine's name, `<cluster>-<pool>-<number>`: a DNS label."""

TAG_FORM = "[A-Za-z0-9_][A-Za-z0-9_.+-]*"
"""The form of a tag in Proxmox VE (PVE::JSONSchema, pve-tag)."""

VMIDS = (100, 999_999_999)
"""The lowest and the highest vmid there can be."""
