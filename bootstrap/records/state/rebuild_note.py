"""The note of a rebuild that is under way, in the state directory, so that another run continues it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from ipaddress import IPv4Address
from pathlib import Path

from bootstrap.advice import Advice
from bootstrap.model.cluster import KeptMachine
from bootstrap.model.ids import MACHINE_NAME_FORM, POOL_NAME_FORM, MachineName, PoolName
from bootstrap.model.reading import Reading, Source, read_json

FORMAT = 1
_MAC = "(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}"
_NOTE = Source(
    call="continue the interrupted rebuild",
    who="its file in the state directory",
    resolution=Advice(
        "remove the file `rebuild` of the cluster's state directory; "
        "then `homelab-k8s up` creates the cluster without the saved data"
    ),
)


class Stage(StrEnum):
    """How far a rebuild has come."""

    TEARING_DOWN = "down"
    """What is to be kept is here; machines go."""
    BUILDING = "up"
    """All machines were gone; new ones come."""


@dataclass(frozen=True, kw_only=True)
class PoolSize:
    """How many machines a pool had, and how large they were."""

    pool: PoolName
    count: int
    cores: int
    memory_mib: int
    disk_gib: int


@dataclass(frozen=True, kw_only=True)
class RebuildNote:
    """A rebuild that is under way, as the state directory has it.

    Attributes:
        version: The k3s version the new cluster gets.
        pools: The pools' sizes as they were, for what the inventory leaves unsaid.
        kept: The machines that come back; empty where none of their identity is kept.
        snapshot: The file whose data is brought back, or the directory whose newest one is; None for none.
    """

    stage: Stage
    version: str
    pools: tuple[PoolSize, ...]
    kept: tuple[KeptMachine, ...] = ()
    snapshot: Path | None = None


def render_rebuild(rebuild: RebuildNote) -> str:
    """As JSON."""
    kept = [
        {
            "name": machine.name,
            "pool": machine.pool,
            "mac": machine.mac,
            "address": str(machine.address) if machine.address else None,
        }
        for machine in rebuild.kept
    ]
    body = {
        "format": FORMAT,
        "stage": rebuild.stage.value,
        "version": rebuild.version,
        "pools": [asdict(size) for size in rebuild.pools],
        "kept": kept,
        "snapshot": str(rebuild.snapshot) if rebuild.snapshot else None,
    }
    return json.dumps(body)


def parse_rebuild(text: str | None) -> RebuildNote | None:
    """What is noted, or None where nothing is.

    Raises:
        UnreadableError: It is damaged.
    """
    if not text:
        return None
    body = read_json(text, _NOTE)
    body.at("format").integer(FORMAT, FORMAT)
    return RebuildNote(
        stage=body.at("stage").parsed(Stage, "a stage"),
        version=body.at("version").text(),
        pools=tuple(_parse_size(size) for size in body.at("pools").items()),
        kept=tuple(_parse_kept(machine) for machine in body.at("kept").items()),
        snapshot=Path(body.at("snapshot").word(r"[^\0]{1,4096}", "a path")) if body.at("snapshot").value else None,
    )


def _parse_size(size: Reading) -> PoolSize:
    return PoolSize(
        pool=PoolName(size.at("pool").word(POOL_NAME_FORM, "a pool's name")),
        count=size.at("count").integer(0, 10_000),
        cores=size.at("cores").integer(0, 10_000),
        memory_mib=size.at("memory_mib").integer(0, 2**40),
        disk_gib=size.at("disk_gib").integer(0, 2**30),
    )


def _parse_kept(body: Reading) -> KeptMachine:
    address = body.at("address")
    return KeptMachine(
        name=MachineName(body.at("name").word(MACHINE_NAME_FORM, "a machine's name")),
        pool=PoolName(body.at("pool").word(POOL_NAME_FORM, "a pool's name")),
        mac=body.at("mac").word(_MAC, "a MAC address") if body.at("mac").value else None,
        address=address.parsed(IPv4Address, "an IPv4 address") if address.value else None,
    )
