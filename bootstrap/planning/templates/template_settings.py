"""The Proxmox config keys of a VM that is to become a template. Pure text."""

from __future__ import annotations

from bootstrap.planning.templates.steps import TemplateBuild

CORES = 2
MEMORY_MIB = 1024
"""Enough to install packages with; machines get their own sizes when they are cloned."""


def builder_settings(build: TemplateBuild) -> dict[str, str | int]:
    """Hardware that cloud images expect, and that clones inherit until they are configured."""
    tag = f",tag={build.vlan}" if build.vlan is not None else ""
    return {
        "ostype": "l26",
        "cores": CORES,
        "memory": MEMORY_MIB,
        "balloon": 0,
        "cpu": "host",  # builder and template stay on one Proxmox node; machines get a type that all of theirs share
        "agent": "enabled=1",
        "scsihw": "virtio-scsi-single",
        "net0": f"virtio={build.mac},bridge={build.bridge}{tag}",
        # Cloud images talk to a serial console, and some do not boot without one.
        "serial0": "socket",
        "vga": "serial0",
        "onboot": 0,
    }
