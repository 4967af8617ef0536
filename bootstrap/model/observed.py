"""What was seen: values read from Proxmox VE and from Kubernetes, never changed afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address

from bootstrap.model.guest_settings import GuestSettings
from bootstrap.model.ids import MachineName, PveNodeName, StorageName, Vmid
from bootstrap.model.machine import MachineKind, MachineRecord, Replaced, Taint
from bootstrap.model.quorum import LostQuorum

OWNER_TAG = "homelab-k8s"
"""The tag every VM of ours carries; Proxmox stores tags in lower case, sorted."""

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Words of `uname -m`, and what k3s's releases, cloud images and container templates call the same."""

CUSTOM_MODEL = "custom-"
"""What the name of a custom CPU model begins with where a VM has it as its CPU type."""

NEVER_LINKED = frozenset({"lvm", "iscsi", "iscsidirect"})
"""Storage kinds whose plugins have no linked clones; all others have where the volume is a base volume."""


@dataclass(frozen=True, kw_only=True)
class PveVersion:
    """Proxmox VE's version, such as 8.4 or 9.0."""

    major: int
    minor: int
    text: str


@dataclass(frozen=True, kw_only=True)
class StorageFacts:
    """A storage as one Proxmox node sees it; `free_gib` is rounded down."""

    name: StorageName
    kind: str
    shared: bool
    active: bool
    content: frozenset[str]
    free_gib: int


@dataclass(frozen=True, kw_only=True)
class Vnet:
    """An SDN vnet on a Proxmox node; a machine's network device may have a VLAN tag there only if it is VLAN-aware."""

    name: str
    vlan_aware: bool


@dataclass(frozen=True, kw_only=True)
class PveNodeFacts:
    """A Proxmox node.

    Attributes:
        online: Whether it can be asked.
        problem: What it answered where it counts as online and yet cannot be asked; else empty.
        cores: Logical CPUs (`maxcpu`): the most one VM may have.
        cpu_flags, cpu_types: CPU flags as /proc/cpuinfo names them; the CPU types it knows, empty where nobody asked.
        architecture: As `uname -m` names it: x86_64 or aarch64.
        bridges: Names of bridges, SDN vnets among them; empty where the token may not list them.
        vnets, mtus: Those of them that are SDN vnets; the MTUs of those whose settings state one.
        committed_cores: vCPUs of all running or on-boot guests that are not templates.
        committed_memory_mib: Their configured RAM.
        maintenance: Whether Proxmox HA has put it into maintenance (`hastate`).
    """

    name: PveNodeName
    online: bool
    problem: str = ""
    cores: int = 0
    memory_mib: int = 0
    cpu_model: str = ""
    cpu_flags: frozenset[str] = frozenset()
    cpu_types: frozenset[str] = frozenset()
    architecture: str = "x86_64"
    bridges: frozenset[str] = frozenset()
    vnets: tuple[Vnet, ...] = ()
    mtus: tuple[tuple[str, int], ...] = ()
    storages: tuple[StorageFacts, ...] = ()
    committed_cores: int = 0
    committed_memory_mib: int = 0
    maintenance: bool = False

    @property
    def k3s_arch(self) -> str:
        """Its architecture as k3s's releases name it: amd64 or arm64."""
        return ARCHITECTURES.get(self.architecture, "amd64")

    @property
    def takes_machines(self) -> bool:
        """Whether anything new may go there, as far as Proxmox VE is concerned."""
        return self.online and not self.maintenance


@dataclass(frozen=True, kw_only=True)
class TemplateFacts:
    """A VM template.

    Attributes:
        disk: Config key of the system disk, such as `scsi0`; None where it has no disk.
        disk_gib: Its size, rounded up.
        storage: Where the system disk is.
        storages: Where any of its drives is, the cloud-init drive among them.
        disk_storages: Where its disks are, EFI variables and TPM state among them, the cloud-init drive not.
        mappings: Resource mappings that its devices use, such as `pci/gpu`, `usb/key`, `dir/data` or `hwrng`.
        cpu_model: The custom CPU model it has, without `custom-`; empty for Proxmox VE's own.
        settings: Options that its clones may not have, as config keys and values.
        linkable: Whether linked clones of it are possible (a base volume on a storage that can).
        cloud_init_drive: Config key of the cloud-init drive, such as `ide2`, or None.
        bridge: The bridge of net0, or None without net0.
        scsi_controller: `scsihw`, empty for Proxmox's default (an LSI controller).
        image: Name of the cloud image it was made of by us; empty for templates that others made.
        k3s: The k3s version that is baked in, empty likewise.
        recipe, recipe_version: Hash of all it was made of, and version of how; empty and 0 likewise.
        claims: What it says it is made of where that is not signed, so that it counts for nothing.
        planned, begun: It is not there yet: this is what it will be; and an earlier run has begun to build it.
        lock: Proxmox's config lock (`backup`, ...); empty where it has none.
    """

    vmid: Vmid
    name: str
    pve_node: PveNodeName
    tags: frozenset[str]
    agent_enabled: bool
    disk: str | None
    disk_gib: int
    storage: StorageName | None
    linkable: bool
    cloud_init_drive: str | None
    bridge: str | None
    scsi_controller: str = ""
    storages: frozenset[StorageName] = frozenset()
    disk_storages: frozenset[StorageName] = frozenset()
    mappings: frozenset[str] = frozenset()
    cpu_model: str = ""
    image: str = ""
    k3s: str = ""
    recipe: str = ""
    recipe_version: int = 0
    claims: str = ""
    planned: bool = False
    begun: bool = False
    lock: str = ""
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class OsTemplate:
    """A template that containers are made of, as one Proxmox node sees it; `volume` as in `local:vztmpl/x.tar.zst`."""

    pve_node: PveNodeName
    volume: str

    @property
    def storage(self) -> StorageName:
        """The storage it is on."""
        return StorageName(self.volume.partition(":")[0])

    @property
    def file_name(self) -> str:
        """As in `debian-13-standard_13.1-2_amd64.tar.zst`."""
        return self.volume.rpartition("/")[2]


UNCHECKED = "its record was not checked"
"""Why a VM is nobody's until somebody has looked at its record's seal."""


@dataclass(frozen=True, kw_only=True)
class VmRecord:
    """A VM or a container Proxmox has, with the record in its description if there is one.

    Of a container `disk` is `rootfs`, and it has neither `smbios_uuid` nor `cpu_type`.

    Attributes:
        running: `status` is running (paused counts).
        halted: Why a running VM's CPUs stand still, in QEMU's word: `paused`, `suspended`, `io-error`; empty where they
            run, and where that was not asked.
        lock: Proxmox's config lock (`clone`, `backup`, ...), or None.
        mac: MAC address of net0 in upper case, or None.
        smbios_uuid: UUID in smbios1, lower case, or None.
        record: What the description says; None where there is none or it cannot be read.
        onboot: Starts with its Proxmox node (and so counts as committed there even when it is off).
        net0: The whole net0 value, such as `virtio=BC:24:11:00:00:01,bridge=vmbr0`, or None.
        uptime_s: Seconds since power-on.
        disk_gib: Size of the system disk, 0 where unknown.
        address: The fixed address in ipconfig0, or None.
        storage_address: The fixed address in ipconfig1, or None.
        ip6: What ipconfig0 says of IPv6: `auto`, `dhcp` or an address with its prefix; None for nothing.
        drives: Every drive but CD-ROMs: config key and value, such as `local:7000/vm-7000-disk-0.qcow2,size=20G`.
        kind: VM or container.
        cdroms: Config keys of its CD-ROM drives, a cloud-init drive among them.
        unused: Its unused disks, config key and volume: nothing uses them, and they take room.
        description: The whole description, with what users wrote around the record.
        settings: Options that it may have inherited and may not keep, as config keys and values.
        unfinished: Nothing of it is there but the lock of a clone: no name, no record. Its clone has just begun, or
            has died.
        clone_runs: Of an unfinished one, whether some task clones on its Proxmox node; None where that cannot be told.
        ha_managed: Whether Proxmox HA starts, stops and moves it.
        problem: What of it cannot be read, its record among that; it is nobody's then. Else empty.
        resource_pool: The Proxmox resource pool it is in, or None; told where the inventory names one.
        doubt: Why what its description says is not to be believed, in a few words; empty where it is (see
            `planning.proof`), which means nothing where it has no record.
    """

    vmid: Vmid
    name: str
    pve_node: PveNodeName
    running: bool
    halted: str = ""
    lock: str | None = None
    tags: frozenset[str] = frozenset()
    record: MachineRecord | None = None
    cores: int = 0
    memory_mib: int = 0
    disk: str | None = None
    disk_gib: int = 0
    cpu_type: str | None = None
    mac: str | None = None
    smbios_uuid: str | None = None
    onboot: bool = False
    net0: str | None = None
    uptime_s: int = 0
    address: IPv4Address | None = None
    storage_address: IPv4Address | None = None
    ip6: str | None = None
    drives: tuple[tuple[str, str], ...] = ()
    kind: MachineKind = MachineKind.VM
    cdroms: tuple[str, ...] = ()
    unused: tuple[tuple[str, str], ...] = ()
    description: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    unfinished: bool = False
    clone_runs: bool | None = None
    ha_managed: bool = False
    problem: str = ""
    resource_pool: str | None = None
    doubt: str = UNCHECKED

    @property
    def idle(self) -> str:
        """Why its guest does nothing: `powered off`, `paused`, `paused (io-error)`; empty where it works."""
        if not self.running or not self.halted:
            return "" if self.running else "powered off"
        return "paused" if self.halted == "paused" else f"paused ({self.halted})"

    @property
    def identity(self) -> str | None:
        """What tells this very VM from another one of the same vmid.

        A VM's SMBIOS UUID, which Proxmox VE makes new for each. Containers have no such thing: for them it is net0's
        MAC address, which is new as well, unless the inventory wants MAC addresses to be stable.
        """
        return self.smbios_uuid if self.kind is MachineKind.VM else container_identity(self.mac)


def container_identity(mac: str | None) -> str:
    """What tells a container from another one of its vmid: net0's MAC address, in upper case."""
    return f"net0 {mac or 'without a MAC address'}"


def has_tag(vm: VmRecord, tag: str) -> bool:
    """Whether a VM has a tag, in whatever case: with `tag-style: case-sensitive=1` Proxmox VE keeps it."""
    return any(one.lower() == tag.lower() for one in vm.tags)


@dataclass(frozen=True, kw_only=True)
class UnreachableVm:
    """A VM or a container on a Proxmox node that cannot be asked; `/cluster/resources` lists it, and no more is known.

    Attributes:
        name: Empty where Proxmox VE no longer tells it: about five minutes after the node went away (9.2, observed).
        tags: In lower case.
        why: Why the Proxmox node cannot be asked: `offline`, or what it answered.
    """

    vmid: Vmid
    name: str
    pve_node: PveNodeName
    tags: frozenset[str] = frozenset()
    kind: MachineKind = MachineKind.VM
    why: str = "offline"


@dataclass(frozen=True, kw_only=True)
class GuestInterface:
    """A network interface as the guest agent tells it; `mac` is upper case.

    `lone` are those of `addresses` that are a network of their own (/32), as keepalived gives a VIP.
    """

    name: str
    mac: str
    addresses: tuple[IPv4Address, ...]
    lone: frozenset[IPv4Address] = frozenset()
    addresses6: tuple[IPv6Address, ...] = ()


@dataclass(frozen=True, kw_only=True)
class KubeNode:
    """A Kubernetes node object.

    Attributes:
        ready: The Ready condition is True and its lease was renewed within 30 s (Ready alone can be stale:
            a stopped k3s stays Ready for 40 s, and after a cold boot the API tells of the time before). Where it was
            looked at with its machine, the VM runs, too, and so does k3s there if the lease is older than a renewal.
        problem: Why it is not ready, in Kubernetes' words; empty when it is.
        version: kubeletVersion.
        uid: Changes when the node is deleted and registers again.
        heartbeat: When its kubelet last reported its status, by the machine's own clock; one that starts reports
            within seconds, and then every 5 minutes while nothing changes.
        stale: It says Ready, but its kubelet has not been heard of for too long, or, where it was looked at with its
            machine, the VM or k3s there does not run.
        lease_age_s: Seconds since its kubelet renewed its lease, by the API server's clock; None without a lease.
        renewed: When that was, by the machine's own clock; every 10 s. A list knows it best.
        args: What its k3s was started with: command line and settings files, secrets masked. k3s itself writes it
            into the annotation k3s.io/node-args at each start. None where it does not tell.
        env: The names of k3s's own variables (K3S_...) in its environment, likewise, from k3s.io/node-env.
    """

    name: MachineName
    ready: bool
    problem: str = ""
    version: str = ""
    address: IPv4Address | None = None
    roles: frozenset[str] = frozenset()
    labels: tuple[tuple[str, str], ...] = ()
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    os_image: str = ""
    created: datetime | None = None
    uid: str = ""
    heartbeat: datetime | None = None
    lease_age_s: float | None = field(default=None, compare=False)
    stale: bool = False
    renewed: datetime | None = field(default=None, compare=False)
    args: tuple[str, ...] | None = None
    env: frozenset[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Observed:
    """All that planning may know of the world.

    Attributes:
        vms: Every VM that is ours, half-made or that stands where ours would stand (name or vmid).
        used_vmids: All vmids in use in the Proxmox cluster, as far as the token sees them.
        kube_nodes: The cluster's nodes, or None where its API could not be asked.
        kube_problem: Why not, in one line.
        vip_holder: The running machine that has the API's own address; None where none was seen to.
        other_vips: Running machines with another address of that kind (/32), such as a VIP of before.
        kubeconfig_server: The server that our entries in the user's kubeconfig name; None where that is not known.
        addresses: Address of each running machine the guest agent told now.
        taken: Addresses of the machines' range that somebody who is not ours was found at.
        lost_quorum: Set where the Proxmox cluster has no quorum; None too where the token may not ask (Sys.Audit).
        ostemplates: Templates of containers; looked for only where a pool is to have containers.
        unreachable: VMs on Proxmox nodes that cannot be asked which may be machines of this tool, of any cluster.
        given_up: Those of them that the user has just declared lost, each of which gets a successor.
        settings: The settings files of machines that were looked into: what `KubeNode.args` cannot tell.
        passed_over: What Proxmox VE listed and is of odd form, a line each; VMs have their own `problem`.
        refusing: Machines that refused our SSH key, of those that were asked.
    """

    version: PveVersion
    pve_nodes: tuple[PveNodeFacts, ...]
    templates: tuple[TemplateFacts, ...]
    vms: tuple[VmRecord, ...] = ()
    used_vmids: frozenset[Vmid] = frozenset()
    kube_nodes: tuple[KubeNode, ...] | None = None
    kube_problem: str = ""
    addresses: tuple[tuple[MachineName, IPv4Address], ...] = field(default=())
    vip_holder: MachineName | None = None
    other_vips: tuple[MachineName, ...] = ()
    kubeconfig_server: str | None = None
    taken: frozenset[IPv4Address] = frozenset()
    ostemplates: tuple[OsTemplate, ...] = ()
    unreachable: tuple[UnreachableVm, ...] = ()
    given_up: tuple[Replaced, ...] = ()
    lost_quorum: LostQuorum | None = None
    settings: tuple[GuestSettings, ...] = ()
    passed_over: tuple[str, ...] = ()
    refusing: tuple[MachineName, ...] = ()

    def k3s_arch(self, pve_node: PveNodeName) -> str:
        """The architecture of a Proxmox node as k3s's releases name it; amd64 where nobody says."""
        return next((facts.k3s_arch for facts in self.pve_nodes if facts.name == pve_node), "amd64")

    @property
    def vnets(self) -> frozenset[str]:
        """The SDN vnets of all Proxmox nodes."""
        return frozenset(vnet.name for pve_node in self.pve_nodes for vnet in pve_node.vnets)

    @property
    def shared_storages(self) -> frozenset[StorageName]:
        """Storages that Proxmox nodes have together, their room too."""
        return frozenset(storage.name for facts in self.pve_nodes for storage in facts.storages if storage.shared)
