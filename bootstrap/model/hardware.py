"""What a machine's VM has besides cores, memory and its system disk. Frozen."""

from __future__ import annotations

from dataclasses import dataclass, field

from bootstrap.model.ids import StorageName


@dataclass(frozen=True, kw_only=True)
class DiskOptions:
    """Proxmox's options of disks; None keeps the template's, and Proxmox's default for a new disk.

    Attributes:
        discard: Whether the guest's trims reach the storage.
        ssd: Whether the guest sees a solid-state disk.
        iothread: Whether each disk has a thread of its own; needs virtio-scsi-single, which it then gets.
        cache: `none`, `writethrough`, `writeback`, `directsync` or `unsafe`.
    """

    discard: bool | None = None
    ssd: bool | None = None
    iothread: bool | None = None
    cache: str | None = None


@dataclass(frozen=True, kw_only=True)
class DataDisk:
    """A second disk, raw: it is neither formatted nor mounted.

    Attributes:
        storage: Where it is, or None for where the pool's full clones would be.
    """

    size_gib: int
    storage: StorageName | None = None


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Disks and devices of each machine of a pool.

    Attributes:
        cpu_weight: Proxmox's `cpuunits`, 1 to 10000 on cgroup v2; None leaves its default, 100.
        disk_options: Of the system disk and the data disk.
        mappings: PCI resource mappings of Proxmox that are passed through, hostpci0 first.
    """

    cpu_weight: int | None = None
    disk_options: DiskOptions = field(default_factory=DiskOptions)
    data_disk: DataDisk | None = None
    mappings: tuple[str, ...] = ()
