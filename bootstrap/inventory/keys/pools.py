"""The inventory's keys of a pool of machines: sizes, labels, places, disks, devices."""

from __future__ import annotations

from typing import Final

from bootstrap.inventory.files import Places
from bootstrap.inventory.keys.hardware import DataDiskKeys, DeviceKeys, DiskOptionKeys
from bootstrap.inventory.keys.network import PoolNetworkKeys
from bootstrap.inventory.keys.system import FILES, HooksKeys, make_system
from bootstrap.inventory.values import address_formats as ip_forms
from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values import system_formats
from bootstrap.inventory.values.containers import ListOf, MapOf
from bootstrap.inventory.values.k3s_settings import K3sConfig
from bootstrap.inventory.values.scalars import Boolean, Integer, Size, choice_of
from bootstrap.inventory.values.section import Key, Section, Short, fill
from bootstrap.model.cluster import VipSpec
from bootstrap.model.hardware import Hardware
from bootstrap.model.ids import PoolName
from bootstrap.model.machine import MachineKind, NodePool, Role, Taint

NOT_SCHEDULABLE: Final = Taint(key="node-role.kubernetes.io/control-plane", effect="NoSchedule")
"""As kubeadm taints control planes. k3s's own Deployments tolerate it (k3s: manifests/coredns.yaml, local-storage.yaml,
traefik.yaml, metrics-server); the jobs that install its charts do not, and need a worker (k3s-io/k3s#6383)."""


class PoolKeys(Section):
    """A pool of k3s agents."""

    count = Key(kind=Integer(minimum=0, maximum=1000), default=1, example=3, doc="Number of machines.")
    cores = Key(
        kind=Integer(minimum=1, maximum=512),
        default=2,
        example=4,
        doc="vCPUs of each machine; at most what its Proxmox node has.",
    )
    memory = Key(
        kind=Size(minimum=512, maximum=16 * 1024 * 1024),
        default="2GiB",
        example="4GiB",
        doc="RAM of each machine; never ballooned.",
        fills="memory_mib",
    )
    disk = Key(
        kind=Size(minimum=1, maximum=128 * 1024, gib=True),
        default="20GiB",
        example="40GiB",
        doc="System disk of each machine, in whole GiB; at least the size of the template's disk.",
        fills="disk_gib",
    )
    cpu = Key(
        kind=forms.CPU_TYPE,
        default_doc="host, or the best that all Proxmox nodes in use share",
        example="x86-64-v2-AES",
        doc="Proxmox CPU type.",
        fills="cpu_type",
    )
    cpu_weight = Key(
        kind=Integer(minimum=1, maximum=10000),
        default_doc="Proxmox's own, 100",
        example=200,
        doc="Share of CPU time against the other guests of a busy Proxmox node (cpuunits), for new machines.",
    )
    labels = Key(
        kind=MapOf(key=forms.LABEL_KEY, value=forms.LABEL_VALUE),
        default_doc="none",
        example={"disk": "ssd"},
        doc="Kubernetes labels; values such as true and 1 in quotes.",
    )
    taints = Key(
        kind=ListOf(
            item=forms.TAINT, same=lambda taint: (taint.key, taint.effect), what="taint's key with this effect"
        ),
        default_doc="none",
        example=["gpu=true:NoSchedule"],
        doc="Kubernetes taints, key=value:EFFECT; effects NoSchedule, PreferNoSchedule, NoExecute.",
    )
    nodes = Key(
        kind=ListOf(item=forms.PVE_NODE_NAME),
        default_doc="those of proxmox.nodes",
        example=["pve1"],
        doc="Proxmox nodes that machines of the pool may run on.",
        fills="pve_nodes",
    )
    storage = Key(
        kind=forms.STORAGE_NAME,
        default_doc="that of proxmox.storage",
        example="fast-zfs",
        doc="Storage for full clones and containers of the pool; linked clones stay on the template's.",
    )
    disk_options = Key(
        kind=DiskOptionKeys,
        default_doc="the template's",
        example={"discard": True, "ssd": True, "iothread": True},
        doc="Options of the system disk and of the data disk, for new machines.",
    )
    data_disk = Key(
        kind=Short(section=DataDiskKeys, keys=(("str", DataDiskKeys.size),)),
        default_doc="none",
        example="200GiB",
        doc="A second disk, neither formatted nor mounted, which is removed with its machine; a plain size is enough.",
        optional=True,
    )
    devices = Key(
        kind=ListOf(item=DeviceKeys, same=lambda device: device.mapping, what="mapping"),
        default_doc="none",
        example=[{"mapping": "gpu0"}],
        doc="PCI devices passed through, by their resource mappings in Proxmox; the machine type is q35 then.",
    )
    network = Key(
        kind=PoolNetworkKeys,
        default_doc="that of all machines",
        example={"bridge": "vmbr1", "vlan": 40},
        doc="Network of the pool's machines, if it differs; all machines must reach each other.",
    )
    machine = Key(
        kind=choice_of(MachineKind),
        default=MachineKind.VM.value,
        example=MachineKind.LXC.value,
        doc="vm, or lxc for containers: lighter, but limited (see docs/lxc.md); servers are always VMs.",
        fills="kind",
    )
    ostemplate = Key(
        kind=forms.OSTEMPLATE,
        default_doc="the newest debian-13-standard",
        example="local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst",
        doc="Template of containers: a volume, or a name (the newest version is used).",
    )
    packages = Key(
        kind=system_formats.PACKAGES,
        default_doc="none but those of all machines",
        example=["nfs-common"],
        doc="Packages for the pool's machines, besides those of all machines.",
    )
    sysctls = Key(
        kind=system_formats.SYSCTLS,
        default_doc="those of all machines",
        example={"vm.max_map_count": 262144},
        doc="Kernel settings of the pool's machines, besides those of all machines; the pool's value has precedence.",
    )
    kernel_modules = Key(
        kind=system_formats.KERNEL_MODULES,
        default_doc="none but those of all machines",
        example=["iscsi_tcp"],
        doc="Kernel modules loaded on the pool's machines, besides those of all machines.",
    )
    files = Key(
        kind=FILES,
        default_doc="none but those of all machines",
        example=[{"path": "/etc/motd.d/pool", "content": "This machine has a GPU"}],
        doc="Files on the pool's machines, besides those of all machines; of two with a path the pool's is used.",
    )
    hooks = Key(
        kind=HooksKeys,
        optional=True,
        doc="Scripts that run on the pool's machines, after those of all machines; of two with a name the pool's runs.",
    )

    tags = Key(
        kind=ListOf(item=forms.VM_TAG),
        default_doc="none",
        example=["gpu"],
        doc="Further tags of the pool's VMs in Proxmox VE, besides those of all VMs.",
    )
    notes = Key(
        kind=forms.NOTES,
        default_doc="those of all VMs",
        example="Has the only GPU.",
        doc="Text for the notes of the pool's VMs in Proxmox VE, instead of that of all VMs.",
    )
    k3s = Key(
        kind=K3sConfig(for_servers=False),
        default_doc="none",
        example={"kubelet-arg+": ["system-reserved=memory=1Gi"]},
        doc="Further settings of the pool's machines, in k3s's own keys, after k3s.agent_config.",
        fills="k3s_settings",
    )

    def pool(self, name: PoolName, role: Role, places: Places) -> NodePool:
        """The pool."""
        sizes = (PoolKeys.count, PoolKeys.cores, PoolKeys.memory, PoolKeys.disk)
        mappings = tuple(device.sure(DeviceKeys.mapping) for device in self.devices or ())
        return fill(
            NodePool,
            self,
            places=places,
            name=name,
            role=role,
            labels=tuple(sorted(self.labels or ())),
            taints=tuple(sorted({*(self.taints or ()), *self._further_taints()})),
            system=make_system(self, self.files, self.hooks, places),
            hardware=fill(Hardware, self, places=places, mappings=mappings),
            stated=frozenset(key.fills for key in sizes if self.given(key)),
        )

    def _further_taints(self) -> tuple[Taint, ...]:
        return ()


class VipKeys(Section, makes=VipSpec):
    """A virtual IP address for the API, which moves to a healthy server."""

    address = Key(
        kind=ip_forms.ADDRESS,
        example="192.168.1.40",
        doc="A free address in the machines' network.",
        required=("needs its address", "such as vip: 192.168.1.40"),
    )
    router_id = Key(
        kind=Integer(minimum=1, maximum=255),
        default_doc="derived from the cluster's name",
        example=51,
        doc="VRRP's virtual router id, for networks with other keepalived instances.",
    )


class ControlPlaneKeys(PoolKeys):
    """The k3s servers."""

    count = Key(
        kind=Integer(minimum=1, maximum=7, odd=True),
        default=1,
        example=3,
        doc="Number of servers; more than one use embedded etcd.",
    )
    vip = Key(
        kind=Short(section=VipKeys, keys=(("str", VipKeys.address),)),
        default_doc="none: the API has the first server's address",
        example="192.168.1.40",
        doc="A virtual IP for the API, which moves to a healthy server; a plain address is enough.",
        optional=True,
    )
    api_name = Key(
        kind=forms.API_NAME,
        default_doc="none: the kubeconfig names an address",
        example="k8s.home.arpa",
        doc="A DNS name for the API, which resolves to the VIP or to servers; used in kubeconfig and certificates.",
    )
    schedulable = Key(
        kind=Boolean(),
        default=True,
        example=False,
        doc="Run your pods on servers too; false taints them with node-role.kubernetes.io/control-plane:NoSchedule.",
    )

    def _further_taints(self) -> tuple[Taint, ...]:
        return () if self.schedulable else (NOT_SCHEDULABLE,)
