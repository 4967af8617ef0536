"""Which product answers at an endpoint: Proxmox Backup Server and others also speak TLS and answer 401."""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.adapters.first_page import PORT_REMEDY, title_at
from bootstrap.errors import AuthenticationError

MAY_BE_VE = frozenset({401, 403, 501})
"""Statuses that Proxmox VE sends, too. For an unknown path it sends 501, never 404 or 405."""
STRANGE = MAY_BE_VE | {404, 405, 406, 410}
"""Statuses with which other products answer requests for Proxmox VE."""

_VE = "Proxmox Virtual Environment"
_OTHERS = ("Proxmox Backup Server", "Proxmox Mail Gateway", "Proxmox Datacenter Manager")


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the first page at an address says.

    Attributes:
        title: The page's title; may be empty.
        product: One of Proxmox's other products; empty where it is none of them, or unclear.
    """

    title: str
    product: str

    @property
    def is_ve(self) -> bool:
        """Whether it is Proxmox VE by its title."""
        return _VE in self.title


def found_at(host: str, port: int) -> Found:
    """What answers at an address, by the title of its login page.

    Proxmox's products have their names there, Proxmox VE since before 7 (pve-manager: www/index.html.tpl).
    """
    title = title_at(host, port)
    known = next((product for product in _OTHERS if product in title), "")
    if known or _VE in title or port != 8007:
        return Found(title=title, product=known)
    return Found(title=title, product=f"most likely {_OTHERS[0]}")


def stranger(found: Found, status: int, *, where: str) -> AuthenticationError | None:
    """The error for a first answer that is not Proxmox VE's; None where it may be.

    Args:
        found: Who answered.
        status: With which HTTP status.
        where: Host and port.
    """
    titled = f'; its page is titled "{found.title}"' if found.title else ""
    if found.product:
        brief = f"the server at {where} is {found.product}, not Proxmox VE's API"
    elif found.is_ve or (status in MAY_BE_VE and not found.title):
        return None
    else:
        brief = f"the server at {where} is not a Proxmox VE API"
    return AuthenticationError(
        brief,
        details=f"it answered with HTTP {status}{titled}",
        resolution=f"{PORT_REMEDY}; behind a reverse proxy, its port and path (https://HOST:443/PATH)",
    )
