"""The inventory's keys of a pool's disks and devices."""

from __future__ import annotations

from typing import Final

from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values.scalars import Boolean, Choice, Size
from bootstrap.inventory.values.section import Key, Section
from bootstrap.model.hardware import DataDisk, DiskOptions

_KEPT: Final = "the template's"


class DiskOptionKeys(Section, makes=DiskOptions):
    """Options of the system disk and of the data disk."""

    discard = Key(kind=Boolean(), default_doc=_KEPT, example=True, doc="Return space that guests trim to the storage.")
    ssd = Key(kind=Boolean(), default_doc=_KEPT, example=True, doc="Present the disks as SSDs to guests.")
    iothread = Key(kind=Boolean(), default_doc=_KEPT, example=True, doc="Use a separate I/O thread for each disk.")
    cache = Key(
        kind=Choice(options=("none", "writethrough", "writeback", "directsync", "unsafe"), parse=str),
        default_doc=_KEPT,
        example="none",
        doc="Proxmox's cache mode; `unsafe` loses data at a power failure.",
    )


class DataDiskKeys(Section, makes=DataDisk):
    """A second disk, raw, for storage such as Longhorn."""

    size = Key(
        kind=Size(minimum=1, maximum=128 * 1024, gib=True),
        example="200GiB",
        doc="Size of the disk, in whole GiB.",
        required=("needs its size", "such as data_disk: 200GiB"),
        fills="size_gib",
    )
    storage = Key(
        kind=forms.STORAGE_NAME,
        default_doc="the pool's, else that of proxmox.storage, else the template's",
        example="fast-zfs",
        doc="Storage of the disk.",
    )


class DeviceKeys(Section):
    """A device of the Proxmox node, passed through."""

    mapping = Key(
        kind=forms.MAPPING,
        example="gpu0",
        doc="Name of a PCI resource mapping.",
        required=("needs its mapping", "such as {mapping: gpu0}"),
    )
