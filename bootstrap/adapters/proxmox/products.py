"""Which product answers at an endpoint: Proxmox Backup Server and others speak TLS and answer 401 too."""

from __future__ import annotations

from bootstrap.adapters.first_page import title_at

STRANGE = frozenset({401, 404, 405, 501})
"""Statuses with which something else than Proxmox VE answers a request of ours."""

_VE = "Proxmox Virtual Environment"
_OTHERS = ("Proxmox Backup Server", "Proxmox Mail Gateway", "Proxmox Datacenter Manager")
_BACKUP_PORT = 8007


def product_at(host: str, port: int) -> str:
    """The product's name where it is not Proxmox VE, by the title of its login page; empty where it is, or unclear.

    Proxmox's products name themselves there, and Proxmox VE does since before 7 (pve-manager: www/index.html.tpl).
    """
    title = title_at(host, port)
    known = next((product for product in _OTHERS if product in title), "")
    if known or _VE in title or port != _BACKUP_PORT:
        return known
    return f"most likely {_OTHERS[0]}"
