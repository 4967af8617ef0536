"""The steps of a plan: frozen values that name machines and say what is to be true of them.

Steps never hold addresses, tokens or keys: what a run discovers is in its `Findings`.
"""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.model.ids import ClusterName, MachineName, PveNodeName, StorageName, Vmid
from bootstrap.model.machine import MachineSpec
from bootstrap.model.words import count
from bootstrap.planning.base_step import BaseStep
from bootstrap.planning.day2_steps import Day2Step
from bootstrap.planning.templates.steps import TemplateStep


@dataclass(frozen=True, kw_only=True)
class FetchK3s(BaseStep, phase="fetch", title="fetch k3s {version} for {arch}"):
    """Have a k3s release here, its checksum verified. `arch` is amd64 or arm64."""

    version: str
    arch: str


@dataclass(frozen=True, kw_only=True)
class CloneVm(BaseStep, phase="clone"):
    """Have the machine's VM.

    Attributes:
        template_pve_node: The template's Proxmox node; another one than the machine's only with shared storage.
        vmid: Where to try first; a taken one is passed over.
        storage: Where a full clone goes; None: where the template is.
        locks: The storage whose lock it takes, for taking turns; with its Proxmox node unless it is shared.
        after_build: The template is built first, and `template` stands for its vmid: for showing only.
    """

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
class CreateContainer(BaseStep, phase="create"):
    """Have the machine's container, whole: unlike a clone it is configured by the very request that makes it.

    Attributes:
        vmid: Where to try first; a taken one is passed over.
        ostemplate: Volume it is made of.
        storage: Where its root file system goes.
        bridge: The bridge net0 is on.
        locks: The storage whose lock it takes, for taking turns.
    """

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
class ConfigureVm(BaseStep, phase="configure"):
    """Have the VM's hardware, cloud-init and record as wanted, and its disk of the wanted size."""

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
class StartVm(BaseStep, phase="start", title="power on"):
    """Have the VM running."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class AwaitGuest(BaseStep, phase="boot", title="wait for the guest"):
    """Know the guest's address and host key, be able to log in, and see cloud-init done."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class PrepareGuest(BaseStep, phase="install", title="send k3s {version}"):
    """Have the k3s binary on the guest."""

    machine: MachineName
    version: str


@dataclass(frozen=True, kw_only=True)
class InitServer(BaseStep, phase="join"):
    """Have the first server serving, its token and kubeconfig known.

    Attributes:
        etcd: With embedded etcd, else sqlite.
        serves: It is known to serve already: the others are reached through it.
    """

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
class JoinServer(BaseStep, phase="join", title="join as server"):
    """Have a further server joined."""

    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class JoinAgent(BaseStep, phase="join", title="join as agent"):
    """Have an agent joined."""

    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class AwaitReady(BaseStep, phase="ready", title="wait until Ready"):
    """See the Kubernetes node Ready, with the wanted labels and taints."""

    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class WriteKubeconfig(BaseStep, phase="ready", title="write the kubeconfig"):
    """Have the kubeconfig in the state directory and merged where the user wants it."""

    cluster: ClusterName


@dataclass(frozen=True, kw_only=True)
class StopVm(BaseStep, phase="stop", title="power off"):
    """Have the VM powered off, by pulling the plug: it is destroyed next. Ownership is checked first."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class DestroyVm(BaseStep, phase="destroy", title="destroy the VM"):
    """Have the VM gone with its disks. Ownership is checked first."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class ForgetCluster(BaseStep, phase="forget", title="remove kubeconfig entries and state"):
    """Have no trace of the cluster here: our kubeconfig entries and the state directory's."""

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
