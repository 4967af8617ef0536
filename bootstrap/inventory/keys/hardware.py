"""The inventory's keys of a pool's disks and devices."""

from __future__ import annotations

from typing import Final

from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values.containers import Field, ListOf, Section, Short, Values
from bootstrap.inventory.values.scalars import Boolean, Choice, Size

_KEPT: Final = "the template's"

DISCARD: Final = Field(
    name="discard",
    kind=Boolean(),
    default_doc=_KEPT,
    example=True,
    doc="Whether what guests trim is given back to the storage.",
)
SSD: Final = Field(
    name="ssd", kind=Boolean(), default_doc=_KEPT, example=True, doc="Whether guests see solid-state disks."
)
IOTHREAD: Final = Field(
    name="iothread", kind=Boolean(), default_doc=_KEPT, example=True, doc="Whether each disk has a thread of its own."
)
CACHE: Final = Field(
    name="cache",
    kind=Choice(options=("none", "writethrough", "writeback", "directsync", "unsafe")),
    default_doc=_KEPT,
    example="none",
    doc="Proxmox's cache mode; `unsafe` loses data at a power failure.",
)
DISK_OPTIONS: Final = Field(
    name="disk_options",
    kind=Section(
        doc="Options of the system disk and of the data disk.",
        fields=(DISCARD, SSD, IOTHREAD, CACHE),
    ),
    default_doc=_KEPT,
    example={"discard": True, "ssd": True, "iothread": True},
    doc="Options of the system disk and of the data disk, for machines made from now on.",
)
DATA_SIZE: Final = Field(
    name="size", kind=Size(minimum=1, maximum=128 * 1024, gib=True), example="200GiB", doc="Its size, in whole GiB."
)
DATA_STORAGE: Final = Field(
    name="storage",
    kind=forms.STORAGE_NAME,
    default_doc="the pool's, else that of proxmox.storage, else the template's",
    example="fast-zfs",
    doc="Storage it is on.",
)
DATA_DISK: Final = Field(
    name="data_disk",
    kind=Short(
        section=Section(doc="A second disk, raw, for storage such as Longhorn.", fields=(DATA_SIZE, DATA_STORAGE)),
        keys=(("str", DATA_SIZE),),
    ),
    default_doc="none",
    example="200GiB",
    doc="A second disk, neither formatted nor mounted, which goes with its machine; a plain size will do.",
)
MAPPING: Final = Field(name="mapping", kind=forms.MAPPING, example="gpu0", doc="Name of a PCI resource mapping.")


def _mapping_of(device: Values) -> str | None:
    return device.get(MAPPING)


DEVICES: Final = Field(
    name="devices",
    kind=ListOf(
        item=Section(doc="A device of the Proxmox node, passed through.", fields=(MAPPING,)),
        same=_mapping_of,
        what="mapping",
    ),
    default_doc="none",
    example=[{"mapping": "gpu0"}],
    doc="PCI devices passed through, by their resource mappings in Proxmox; the machine type is q35 then.",
)
