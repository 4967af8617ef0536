"""The steps of a plan: frozen values that name machines and say what is to be true of them.

Steps never hold addresses, tokens or keys: what a run discovers is in its `Findings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bootstrap.model.ids import ClusterName, MachineName, PveNodeName, StorageName, Vmid
from bootstrap.model.machine import MachineSpec
from bootstrap.model.words import count
from bootstrap.planning.day2_steps import Day2Step
from bootstrap.planning.templates.steps import TemplateStep


@dataclass(frozen=True, kw_only=True)
class FetchK3s:
    """Have a k3s release here, its checksum verified. `arch` is amd64 or arm64."""

    phase: ClassVar[str] = "fetch"
    version: str
    arch: str

    @property
    def title(self) -> str:
        """What a user reads while it runs."""
        return f"fetch k3s {self.version} for {self.arch}"


@dataclass(frozen=True, kw_only=True)
class CloneVm:
    """Have the machine's VM.

    Attributes:
        template_pve_node: The template's Proxmox node; another one than the machine's only with shared storage.
        vmid: Where to try first; a taken one is passed over.
        storage: Where a full clone goes; None: where the template is.
        locks: The storage whose lock it takes, for taking turns; with its Proxmox node unless it is shared.
        after_build: The template is built first, and `template` stands for its vmid: for showing only.
    """

    phase: ClassVar[str] = "clone"
    machine: MachineSpec
    template: Vmid
    template_pve_node: PveNodeName
    pve_node: PveNodeName
    vmid: Vmid
    full: bool
    storage: StorageName | None = None
    locks: str
    resource_pool: str | None = None
    after_build: bool = False

    @property
    def title(self) -> str:
        """What a user reads while it runs."""
        template = "the new template" if self.after_build else f"template {self.template}"
        return f"clone {template} to {self.vmid} on {self.pve_node}"


@dataclass(frozen=True, kw_only=True)
class CreateContainer:
    """Have the machine's container, whole: unlike a clone it is configured by the very request that makes it.

    Attributes:
        vmid: Where to try first; a taken one is passed over.
        ostemplate: Volume it is made of.
        storage: Where its root file system goes.
        bridge: The bridge net0 is on.
        locks: The storage whose lock it takes, for taking turns.
    """

    phase: ClassVar[str] = "create"
    machine: MachineSpec
    pve_node: PveNodeName
    vmid: Vmid
    ostemplate: str
    storage: StorageName
    bridge: str
    locks: str
    resource_pool: str | None = None

    @property
    def title(self) -> str:
        """What a user reads while it runs."""
        size = self.machine
        return (
            f"create container {self.vmid} on {self.pve_node}: {count(size.cores, 'core')}, {size.memory_mib} MiB, "
            f"{size.disk_gib} GiB on {self.storage}"
        )


@dataclass(frozen=True, kw_only=True)
class ConfigureVm:
    """Have the VM's hardware, cloud-init and record as wanted, and its disk of the wanted size."""

    phase: ClassVar[str] = "configure"
    machine: MachineSpec
    disk: str
    scsi_controller: str
    template_tags: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What a user reads while it runs."""
        size = self.machine
        return f"configure {count(size.cores, 'core')}, {size.memory_mib} MiB, {size.disk_gib} GiB"


@dataclass(frozen=True, kw_only=True)
class StartVm:
    """Have the VM running."""

    phase: ClassVar[str] = "start"
    title: ClassVar[str] = "power on"
    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class AwaitGuest:
    """Know the guest's address and host key, be able to log in, and see cloud-init done."""

    phase: ClassVar[str] = "boot"
    title: ClassVar[str] = "wait for the guest"
    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class PrepareGuest:
    """Have the k3s binary on the guest."""

    phase: ClassVar[str] = "install"
    machine: MachineName
    version: str

    @property
    def title(self) -> str:
        """What a user reads while it runs."""
        return f"send k3s {self.version}"


@dataclass(frozen=True, kw_only=True)
class InitServer:
    """Have the first server serving, its token and kubeconfig known.

    Attributes:
        etcd: With embedded etcd, else sqlite.
        serves: It is known to serve already: the others are reached through it.
    """

    phase: ClassVar[str] = "join"
    machine: MachineSpec
    etcd: bool
    serves: bool = False

    @property
    def title(self) -> str:
        """What a user reads while it runs."""
        if self.serves:
            return "reach the cluster through this server"
        return f"start the first server ({'etcd' if self.etcd else 'sqlite'})"


@dataclass(frozen=True, kw_only=True)
class JoinServer:
    """Have a further server joined."""

    phase: ClassVar[str] = "join"
    title: ClassVar[str] = "join as server"
    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class JoinAgent:
    """Have an agent joined."""

    phase: ClassVar[str] = "join"
    title: ClassVar[str] = "join as agent"
    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class AwaitReady:
    """See the Kubernetes node Ready, with the wanted labels and taints."""

    phase: ClassVar[str] = "ready"
    title: ClassVar[str] = "wait until Ready"
    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class WriteKubeconfig:
    """Have the kubeconfig in the state directory and merged where the user wants it."""

    phase: ClassVar[str] = "ready"
    title: ClassVar[str] = "write the kubeconfig"
    cluster: ClusterName


@dataclass(frozen=True, kw_only=True)
class StopVm:
    """Have the VM powered off, by pulling the plug: it is destroyed next. Ownership is checked first."""

    phase: ClassVar[str] = "stop"
    title: ClassVar[str] = "power off"
    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class DestroyVm:
    """Have the VM gone with its disks. Ownership is checked first."""

    phase: ClassVar[str] = "destroy"
    title: ClassVar[str] = "destroy the VM"
    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class ForgetCluster:
    """Have no trace of the cluster here: our kubeconfig entries and the state directory's."""

    phase: ClassVar[str] = "forget"
    title: ClassVar[str] = "remove kubeconfig entries and state"
    cluster: ClusterName


Step = (
    FetchK3s
    | CloneVm
    | CreateContainer
    | ConfigureVm
    | StartVm
    | AwaitGuest
    | PrepareGuest
    | InitServer
    | JoinServer
    | JoinAgent
    | AwaitReady
    | WriteKubeconfig
    | StopVm
    | DestroyVm
    | ForgetCluster
    | Day2Step
    | TemplateStep
)
