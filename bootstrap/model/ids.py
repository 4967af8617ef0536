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
