"""Proxmox VE's answers as readings: the names and numbers in them are checked before they become parts of paths."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

from bootstrap.errors import UnreadableAnswerError, UnreadableError
from bootstrap.model.ids import VMIDS, PveNodeName, StorageName, Vmid
from bootstrap.model.reading import Reading, Source, each

T = TypeVar("T")

OFFLINE = "offline"
MOST_BYTES = 2**63
MOST_SECONDS = 2**40
MOST_CORES = 100_000
MOST_MIB = 2**40

NODE = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,251}[A-Za-z0-9])?"
"""Proxmox VE's own form, `pve-node` (PVE::JSONSchema)."""
_STORAGE = r"[A-Za-z][A-Za-z0-9_.-]{0,251}[A-Za-z0-9]"
"""Proxmox VE's own form, `pve-storage-id`."""

logger = logging.getLogger(__name__)


def answer(value: object, *, what: str, who: str = "the answer of Proxmox VE") -> Reading:
    """What was answered to the attempt to do `what`, as it reads after "cannot"."""
    return Reading(
        value,
        Source(
            call=what,
            who=who,
            error=UnreadableAnswerError,
            resolution="Proxmox VE 8.0 or newer answers otherwise: is there a proxy in front of it?",
        ),
    )


def pve_node_name(reading: Reading) -> PveNodeName:
    """A Proxmox node's name."""
    return PveNodeName(reading.word(NODE, "a Proxmox node's name"))


def storage_name(reading: Reading) -> StorageName:
    """A storage's name."""
    return StorageName(reading.word(_STORAGE, "a storage's name"))


def vmid(reading: Reading) -> Vmid:
    """A vmid."""
    return Vmid(reading.integer(*VMIDS))


def named_row(row: Reading) -> tuple[PveNodeName, bool]:
    """A Proxmox node's name, and whether it does not count as offline, from its row in the list of them."""
    return pve_node_name(row.at("node")), row.at("status").value != OFFLINE


def note(error: UnreadableError) -> None:
    """Note what is passed over in the log."""
    logger.warning("ignored: %s", error)


def rows(
    readings: Reading, read: Callable[[Reading], T], pass_over: Callable[[UnreadableError], None] = note
) -> Iterator[T]:
    """Each row of a list, read; one of odd form is passed over.

    Raises:
        UnreadableAnswerError: It is no list.
    """
    return each(readings.items(), read, pass_over)


def blank(reading: Reading) -> str:
    """A text, empty where it is of odd form: for what only serves to name things."""
    return reading.value if isinstance(reading.value, str) and len(reading.value) < 1000 else ""
