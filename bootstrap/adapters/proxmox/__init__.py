"""Proxmox VE through proxmoxer.

Importing this package pays for proxmoxer and requests: import it where it is used.
"""

from bootstrap.adapters.proxmox.connection import connect
from bootstrap.adapters.proxmox.hypervisor import ProxmoxHypervisor

__all__ = ["ProxmoxHypervisor", "connect"]
