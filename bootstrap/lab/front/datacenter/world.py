"""The initial state of the lab's Proxmox: nodes, storage, tokens, a role's privileges, templates."""
# ruff: noqa: ANN401 - fakepve has no types, and JSON has any shape

from __future__ import annotations

import secrets
import time
import uuid
from dataclasses import dataclass
from typing import Any

from fakepve import FakePve

from bootstrap.lab.front.configs.vmconfig import new_mac
from bootstrap.lab.options import LabOptions

# Ids of tokens; their secrets are made for each lab.
HOMELAB = "homelab@pve!lab"
NO_RIGHTS = "homelab@pve!norights"
ROOT = "root@pam!lab"
FIRST_TEMPLATE = 9000
TEMPLATE_NAME = "debian-12-k3s"
TEMPLATE_DISK_GIB = 3
STORAGE = "local"
OSTEMPLATE = "debian-13-standard_13.1-2_amd64.tar.zst"
GIB = 1024**3
VERSIONS = {8: ("8.4.21", "8.4"), 9: ("9.2.11", "9.2")}

_ROLE = (
    *("VM.Allocate", "VM.Clone", "VM.PowerMgmt", "VM.Audit"),
    *("VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk", "VM.Config.HWType"),
    *("VM.Config.Memory", "VM.Config.Network", "VM.Config.Options"),
    *("Datastore.AllocateSpace", "Datastore.Audit", "SDN.Use", "Sys.Audit", "Pool.Audit", "Pool.Allocate"),
    # For templates: downloads, uploads, and removing what was uploaded.
    *("Datastore.AllocateTemplate", "Datastore.Allocate", "Sys.AccessNetwork"),
)
_AGENT_RIGHTS = {
    8: ("VM.Monitor",),
    9: ("VM.GuestAgent.Audit", "VM.GuestAgent.FileRead", "VM.GuestAgent.FileWrite", "VM.GuestAgent.Unrestricted"),
}


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Secrets of the lab's API tokens."""

    homelab: str
    no_rights: str
    root: str


def node_names(options: LabOptions) -> tuple[str, ...]:
    """`pve1`, `pve2`, ..., as many as the options say."""
    return tuple(f"pve{number}" for number in range(1, options.pve_nodes + 1))


def build_world(options: LabOptions) -> tuple[Any, Tokens]:
    """A fakepve in its initial state, not listening yet.

    Returns:
        The `FakePve` (untyped, as the library is) and the secrets of its tokens.
    """
    pve = FakePve(password=secrets.token_urlsafe(24), host=options.host, port=0)
    pve.time_scale = options.time_scale
    pve.version, pve.release_version = VERSIONS[options.pve_version]
    pve.cluster_name = "homelab"
    pve.nodes.clear()
    pve.storages.clear()
    pve.storages[STORAGE] = {
        "type": "dir",
        "path": "/var/lib/vz",
        "content": options.storage_content,
        "active": 1,
        "shared": int(options.shared_storage),
        "files": set(),
        "volumes": {},
        "avail": options.room_gib * GIB,
    }
    # Its name does not matter: containers of the lab have the lab's own system, as VMs do.
    pve.storages[STORAGE]["volumes"][f"vztmpl/{OSTEMPLATE}"] = {
        "content": "vztmpl", "format": "tzst", "size": 130 * 1024**2, "ctime": int(time.time())
    }  # fmt: skip
    for offset, name in enumerate(node_names(options)):
        pve.add_node(name)
        if not (offset and options.shared_storage):
            _add_template(pve, vmid=FIRST_TEMPLATE + offset, pve_node=name)
    tokens = Tokens(homelab=str(uuid.uuid4()), no_rights=str(uuid.uuid4()), root=str(uuid.uuid4()))
    pve.apitokens.update({HOMELAB: tokens.homelab, NO_RIGHTS: tokens.no_rights, ROOT: tokens.root})
    pve.grant(HOMELAB, "/", *_ROLE, *_AGENT_RIGHTS[options.pve_version])
    return pve, tokens


def _add_template(pve: Any, *, vmid: int, pve_node: str) -> None:
    disk, seed = f"{vmid}/base-{vmid}-disk-0.qcow2", f"{vmid}/vm-{vmid}-cloudinit.qcow2"
    now = int(time.time())
    volumes = pve.storages[STORAGE]["volumes"]
    volumes[disk] = {
        "content": "images",
        "format": "qcow2",
        "size": TEMPLATE_DISK_GIB * GIB,
        "vmid": vmid,
        "ctime": now,
    }
    volumes[seed] = {"content": "images", "format": "qcow2", "size": 4 * 1024**2, "vmid": vmid, "ctime": now}
    pve.add_vm(
        vmid,
        TEMPLATE_NAME,
        node=pve_node,
        template=True,
        config={
            "agent": "1",
            "boot": "order=scsi0",
            "ciuser": "debian",
            "cores": 1,
            "ide2": f"{STORAGE}:{seed},media=cdrom",
            "memory": "1024",
            "meta": f"creation-qemu=10.0.2,ctime={now}",
            "name": TEMPLATE_NAME,
            "net0": f"virtio={new_mac()},bridge=vmbr0",
            "ostype": "l26",
            "scsi0": f"{STORAGE}:{disk},size={TEMPLATE_DISK_GIB}G",
            "scsihw": "virtio-scsi-single",
            "serial0": "socket",
            "smbios1": f"uuid={uuid.uuid4()}",
            "tags": "debian-12;template",
            "template": 1,
            "vga": "serial0",
            "vmgenid": str(uuid.uuid4()),
        },
    )
