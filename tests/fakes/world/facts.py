"""What the world holds when nobody says otherwise."""

from __future__ import annotations

from bootstrap.model.ids import PveNodeName, StorageName, Vmid
from bootstrap.model.observed import PveNodeFacts, PveVersion, StorageFacts, TemplateFacts
from bootstrap.ports import CertificateFacts, EndpointFacts

PVE1 = PveNodeName("pve1")
LOCAL = StorageName("local")
PVE_9 = PveVersion(major=9, minor=0, text="9.0")
VERSION = "v1.33.3+k3s1"
FINGERPRINT = ":".join(["AB"] * 32)
ENDPOINT = EndpointFacts(
    certificate=CertificateFacts(fingerprint=FINGERPRINT, days_left=300.0, trust="pinned"), clock_s=0.2
)

STORAGE = StorageFacts(
    name=LOCAL, kind="dir", shared=False, active=True, content=frozenset({"images", "iso"}), free_gib=500
)
EVERYTHING = StorageFacts(
    name=LOCAL, kind="dir", shared=False, active=True, content=frozenset({"images", "iso", "import"}), free_gib=500
)
"""A storage that templates can be built with."""
TEMPLATE = TemplateFacts(
    vmid=Vmid(9000),
    name="debian-12",
    pve_node=PVE1,
    tags=frozenset({"homelab-k8s-template"}),
    agent_enabled=True,
    disk="scsi0",
    disk_gib=3,
    storage=LOCAL,
    linkable=True,
    cloud_init_drive="ide2",
    bridge="vmbr0",
    scsi_controller="virtio-scsi-single",
    storages=frozenset({LOCAL}),
)


def pve_node(name: str = "pve1", *, cores: int = 8, memory_gib: int = 32) -> PveNodeFacts:
    """A roomy Proxmox node."""
    return PveNodeFacts(
        name=PveNodeName(name),
        online=True,
        cores=cores,
        memory_mib=memory_gib * 1024,
        cpu_model="Some CPU",
        cpu_flags=frozenset({"vmx"}),
        bridges=frozenset({"vmbr0"}),
        storages=(STORAGE,),
    )
