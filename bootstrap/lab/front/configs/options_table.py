"""VM options: the privilege for a change, the type on reading, whether a change is pending.

Privileges as `PVE/API2/Qemu.pm` groups them and as a Proxmox VE 8.4 answered.
"""

from __future__ import annotations

import re


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


_GROUPS = {
    "VM.Config.CPU": _words("cores sockets vcpus cpu cpulimit cpuunits numa smp"),
    "VM.Config.Memory": _words("memory balloon shares allow-ksm"),
    "VM.Config.Disk": _words("boot bootdisk vmstatestorage"),
    "VM.Config.HWType": _words(
        "acpi hotplug kvm machine scsihw smbios1 tablet vga watchdog audio0 rng0",
    ),
    "VM.Config.Options": _words(
        "name description agent onboot protection startup tags template bios ostype keyboard localtime",
        "migrate_downtime migrate_speed autostart reboot startdate tdf",
    ),
    "VM.PowerMgmt": _words("freeze"),
    "VM.Config.Cloudinit": _words("cicustom cipassword citype ciuser ciupgrade nameserver searchdomain sshkeys"),
}
PRIVILEGE = {option: privilege for privilege, options in _GROUPS.items() for option in options}
_NUMBERED = (
    (re.compile(r"net\d+"), "VM.Config.Network"),
    (re.compile(r"ipconfig\d+"), "VM.Config.Cloudinit"),
    (re.compile(r"(scsi|virtio|sata|ide|efidisk|tpmstate|unused)\d+"), "VM.Config.Disk"),
    (re.compile(r"(serial|usb|hostpci|parallel|numa)\d+"), "VM.Config.HWType"),
)
ROOT_ONLY = _words(
    "args lock parent snaptime vmstate affinity hookscript hugepages keephugepages ivshmem amd-sev intel-tdx arch",
    "vmgenid spice_enhancements",
)
"""The options in none of the groups (`PVE/API2/Qemu.pm`, check_vm_modify_config_perm), to set and to delete."""
INTEGERS = _words(
    "acpi autostart balloon ciupgrade cores cpuunits freeze kvm localtime migrate_downtime numa onboot protection",
    "reboot shares sockets tablet template vcpus",
)
# Changes that apply to a running VM at once; all others are pending till it starts again.
AT_ONCE = _words("name description onboot tags protection startup hookscript boot bootdisk balloon lock template")


def privilege_for(option: str) -> str | None:
    """The privilege a change of this option needs; None: there is no such option."""
    if option in PRIVILEGE:
        return PRIVILEGE[option]
    return next((privilege for pattern, privilege in _NUMBERED if pattern.fullmatch(option)), None)


# CPU types of Proxmox VE 8.4.21; then the additional ones of 9.2.11.
CPU_TYPES = _words(
    "486 Broadwell Broadwell-IBRS Broadwell-noTSX Broadwell-noTSX-IBRS Cascadelake-Server",
    "Cascadelake-Server-noTSX Cascadelake-Server-v2 Cascadelake-Server-v4 Cascadelake-Server-v5 Conroe",
    "Cooperlake Cooperlake-v2 EPYC EPYC-Genoa EPYC-IBPB EPYC-Milan EPYC-Milan-v2 EPYC-Rome EPYC-Rome-v2",
    "EPYC-Rome-v3 EPYC-Rome-v4 EPYC-v3 EPYC-v4 GraniteRapids Haswell Haswell-IBRS Haswell-noTSX",
    "Haswell-noTSX-IBRS Icelake-Client Icelake-Client-noTSX Icelake-Server Icelake-Server-noTSX",
    "Icelake-Server-v3 Icelake-Server-v4 Icelake-Server-v5 Icelake-Server-v6 IvyBridge IvyBridge-IBRS",
    "KnightsMill Nehalem Nehalem-IBRS Opteron_G1 Opteron_G2 Opteron_G3 Opteron_G4 Opteron_G5 Penryn",
    "SandyBridge SandyBridge-IBRS SapphireRapids SapphireRapids-v2 Skylake-Client Skylake-Client-IBRS",
    "Skylake-Client-noTSX-IBRS Skylake-Client-v4 Skylake-Server Skylake-Server-IBRS",
    "Skylake-Server-noTSX-IBRS Skylake-Server-v4 Skylake-Server-v5 Westmere Westmere-IBRS athlon core2duo",
    "coreduo host kvm32 kvm64 max pentium pentium2 pentium3 phenom qemu32 qemu64 x86-64-v2 x86-64-v2-AES",
    "x86-64-v3 x86-64-v4",
)
NEWER_CPU_TYPES = _words(
    "ClearwaterForest EPYC-Genoa-v2 EPYC-Milan-v3 EPYC-Rome-v5 EPYC-Turin EPYC-v5 GraniteRapids-v2 GraniteRapids-v3",
    "Icelake-Server-v7 SapphireRapids-v3 SapphireRapids-v4 SierraForest SierraForest-v2 SierraForest-v3",
)


def cpu_types(pve_version: int) -> frozenset[str]:
    """The CPU types that a Proxmox VE of this major version has; the lab has no custom models."""
    return CPU_TYPES | NEWER_CPU_TYPES if pve_version >= 9 else CPU_TYPES
