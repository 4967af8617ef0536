"""What Proxmox knows of each VM option: the privilege a change needs, its type on reading, whether it waits.

Privileges as `PVE/API2/Qemu.pm` groups them and as a Proxmox VE 8.4 answered.
"""

from __future__ import annotations

import re


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


_GROUPS = {
    "VM.Config.CPU": _words("cores sockets vcpus cpu cpulimit cpuunits numa affinity smp"),
    "VM.Config.Memory": _words("memory balloon shares allow-ksm"),
    "VM.Config.Disk": _words("boot bootdisk vmstatestorage"),
    "VM.Config.HWType": _words(
        "acpi hotplug kvm machine scsihw smbios1 tablet vga watchdog audio0 rng0 hugepages ivshmem",
        "amd-sev intel-tdx arch",
    ),
    "VM.Config.Options": _words(
        "name description agent onboot protection startup tags template bios ostype keyboard localtime",
        "migrate_downtime migrate_speed autostart freeze reboot startdate tdf vmgenid spice_enhancements",
    ),
    "VM.Config.Cloudinit": _words("cicustom cipassword citype ciuser ciupgrade nameserver searchdomain sshkeys"),
}
PRIVILEGE = {option: privilege for privilege, options in _GROUPS.items() for option in options}
_NUMBERED = (
    (re.compile(r"net\d+"), "VM.Config.Network"),
    (re.compile(r"ipconfig\d+"), "VM.Config.Cloudinit"),
    (re.compile(r"(scsi|virtio|sata|ide|efidisk|tpmstate|unused)\d+"), "VM.Config.Disk"),
    (re.compile(r"(serial|usb|hostpci|parallel|numa)\d+"), "VM.Config.HWType"),
)
ROOT_ONLY = frozenset({"args", "lock", "parent", "snaptime", "vmstate"})
INTEGERS = _words(
    "acpi autostart balloon ciupgrade cores freeze kvm localtime migrate_downtime numa onboot protection",
    "reboot shares sockets tablet template vcpus",
)
# Changes that apply to a running VM at once; all others are pending till it starts again.
AT_ONCE = _words("name description onboot tags protection startup hookscript boot bootdisk balloon lock template")


def privilege_for(option: str) -> str | None:
    """The privilege a change of this option needs; None: there is no such option."""
    if option in PRIVILEGE:
        return PRIVILEGE[option]
    return next((privilege for pattern, privilege in _NUMBERED if pattern.fullmatch(option)), None)
