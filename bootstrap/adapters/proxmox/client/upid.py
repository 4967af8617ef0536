"""What a Proxmox task's UPID says: `UPID:node:pid:pstart:starttime:type:id:user:` (PVE::Tools, upid_encode)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bootstrap.model.ids import PveNodeName
from bootstrap.proxmox.reading import answers

UPID = r"[A-Za-z0-9:_.@!+~-]{1,1000}"
"""As PVE::Tools has it (upid_decode), with what user names may hold; it becomes a part of paths."""

_PARTS = re.compile(rf"UPID:({answers.NODE}):[0-9A-F]+:([0-9A-F]{{1,16}}):([0-9A-F]{{1,12}}):([^:]*):.*", re.I | re.A)


@dataclass(frozen=True, kw_only=True)
class Upid:
    """The parts of a UPID.

    Attributes:
        pve_node: The Proxmox node that keeps the task; others know nothing of it.
        kind: Its type, such as `qmclone`.
        start_s: When it started, in the Proxmox node's Unix seconds.
        ticks: The same in ticks since that node has booted, for the order within a second.
    """

    pve_node: PveNodeName
    kind: str
    start_s: int
    ticks: int


def parse_upid(text: str) -> Upid | None:
    """The parts of a UPID; None for another text."""
    found = _PARTS.fullmatch(text)
    if found is None:
        return None
    pve_node, ticks, start, kind = found.groups()
    return Upid(pve_node=PveNodeName(pve_node), kind=kind, start_s=int(start, 16), ticks=int(ticks, 16))
