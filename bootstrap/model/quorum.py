"""A Proxmox cluster's lack of quorum."""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.model.ids import PveNodeName


@dataclass(frozen=True, kw_only=True)
class LostQuorum:
    """A Proxmox cluster without quorum: pmxcfs lets nobody write below /etc/pve, so nothing can be changed.

    Attributes:
        total: Proxmox nodes of the cluster.
        away: Those that are off, as far as the node asked sees them.
    """

    total: int
    away: tuple[PveNodeName, ...]

    def __str__(self) -> str:
        """As in `the Proxmox cluster has no quorum (1 of 3 nodes online: pve2, pve3 are off): nothing ...`."""
        off = f": {', '.join(self.away)} {'is' if len(self.away) == 1 else 'are'} off" if self.away else ""
        online = self.total - len(self.away)
        return f"the Proxmox cluster has no quorum ({online} of {self.total} nodes online{off}): nothing can be changed"
