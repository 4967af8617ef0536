"""The inventory's keys of a pool of machines: sizes, labels, places, disks, devices."""

from __future__ import annotations

from typing import Final

from bootstrap.inventory.keys.hardware import DATA_DISK, DEVICES, DISK_OPTIONS
from bootstrap.inventory.keys.network import POOL_NETWORK
from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values.containers import Field, ListOf, MapOf, Section, Short
from bootstrap.inventory.values.scalars import Choice, Integer, Size
from bootstrap.model.machine import MachineKind, Taint


def _taint_identity(taint: Taint) -> tuple[str, str]:
    return taint.key, taint.effect


CORES: Final = Field(
    name="cores",
    kind=Integer(minimum=1, maximum=512),
    default=2,
    example=4,
    doc="vCPUs of each machine; at most what its Proxmox node has.",
)
MEMORY: Final = Field(
    name="memory",
    kind=Size(minimum=512, maximum=16 * 1024 * 1024),
    default="2GiB",
    example="4GiB",
    doc="RAM of each machine; never ballooned.",
)
DISK: Final = Field(
    name="disk",
    kind=Size(minimum=1, maximum=128 * 1024, gib=True),
    default="20GiB",
    example="40GiB",
    doc="System disk of each machine, in whole GiB; at least the template's.",
)
CPU: Final = Field(
    name="cpu",
    kind=forms.CPU_TYPE,
    default_doc="host, or the best that all Proxmox nodes in use share",
    example="x86-64-v2-AES",
    doc="Proxmox CPU type.",
)
LABELS: Final = Field(
    name="labels",
    kind=MapOf(key=forms.LABEL_KEY, value=forms.LABEL_VALUE),
    default_doc="none",
    example={"disk": "ssd"},
    doc="Kubernetes labels; values such as true and 1 in quotes.",
)
TAINTS: Final = Field(
    name="taints",
    kind=ListOf(item=forms.TAINT, same=_taint_identity, what="taint's key with this effect"),
    default_doc="none",
    example=["gpu=true:NoSchedule"],
    doc="Kubernetes taints, key=value:EFFECT; effects NoSchedule, PreferNoSchedule, NoExecute.",
)
POOL_PVE_NODES: Final = Field(
    name="nodes",
    kind=ListOf(item=forms.PVE_NODE_NAME),
    default_doc="those of proxmox.nodes",
    example=["pve1"],
    doc="Proxmox nodes that machines of the pool may go to.",
)
POOL_STORAGE: Final = Field(
    name="storage",
    kind=forms.STORAGE_NAME,
    default_doc="that of proxmox.storage",
    example="fast-zfs",
    doc="Storage for full clones and containers of the pool; linked clones stay on the template's.",
)
MACHINE: Final = Field(
    name="machine",
    kind=Choice(options=tuple(kind.value for kind in MachineKind)),
    default=MachineKind.VM.value,
    example=MachineKind.LXC.value,
    doc="vm, or lxc for containers: lighter, and with limits (see docs/lxc.md); servers are always VMs.",
)
OSTEMPLATE: Final = Field(
    name="ostemplate",
    kind=forms.OSTEMPLATE,
    default_doc="the newest debian-13-standard",
    example="local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst",
    doc="Template of containers: a volume, or a name whose newest version is taken.",
)
_MACHINE: Final = (
    CORES,
    MEMORY,
    DISK,
    CPU,
    LABELS,
    TAINTS,
    POOL_PVE_NODES,
    POOL_STORAGE,
    DISK_OPTIONS,
    DATA_DISK,
    DEVICES,
    POOL_NETWORK,
    MACHINE,
    OSTEMPLATE,
)
SERVERS: Final = Field(
    name="count",
    kind=Integer(minimum=1, maximum=7, odd=True),
    default=1,
    example=3,
    doc="Servers; more than one have embedded etcd.",
)
COUNT: Final = Field(
    name="count", kind=Integer(minimum=0, maximum=1000), default=1, example=3, doc="Machines of the pool."
)
VIP_ADDRESS: Final = Field(
    name="address", kind=forms.ADDRESS, example="192.168.1.40", doc="In the machines' network and free."
)
VIP_ROUTER_ID: Final = Field(
    name="router_id",
    kind=Integer(minimum=1, maximum=255),
    default_doc="made from the cluster's name",
    example=51,
    doc="VRRP's virtual router id, for networks where other keepaliveds run.",
)
VIP: Final = Field(
    name="vip",
    kind=Short(
        section=Section(
            doc="An address of the API's own, which follows a living server.", fields=(VIP_ADDRESS, VIP_ROUTER_ID)
        ),
        keys=(("str", VIP_ADDRESS),),
    ),
    default_doc="none: the first server's address is the API's",
    example="192.168.1.40",
    doc="An address of the API's own, which follows a living server; a plain address will do.",
)
API_NAME: Final = Field(
    name="api_name",
    kind=forms.API_NAME,
    default_doc="none: the kubeconfig names an address",
    example="k8s.home.arpa",
    doc="A DNS name of yours for the API, which leads to the VIP or to servers; kubeconfig and certificates have it.",
)
CONTROL_PLANE_SECTION: Final = Section(doc="The k3s servers.", fields=(SERVERS, *_MACHINE, VIP, API_NAME))
POOL: Final = Section(doc="A pool of k3s agents.", fields=(COUNT, *_MACHINE))
