"""The steps of a plan: frozen values that name machines and the state wanted.

Steps never hold addresses, tokens or keys: what a run discovers is in its `Findings`.
"""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.model.ids import ClusterName, MachineName, PveNodeName, StorageName, Vmid
from bootstrap.model.machine import MachineSpec
from bootstrap.model.words import count
from bootstrap.planning.base_step import BaseStep
from bootstrap.planning.day2_steps import Day2Step
from bootstrap.planning.manifests.steps import ApplyManifests
from bootstrap.planning.templates.steps import TemplateStep


@dataclass(frozen=True, kw_only=True)
class FetchK3s(BaseStep, phase="fetch", title="fetch k3s {version} for {arch}"):
    """Fetch a k3s release and verify its checksum. `arch` is amd64 or arm64."""

    version: str
    arch: str


@dataclass(frozen=True, kw_only=True)
class CloneVm(BaseStep, phase="clone"):
    """Clone the machine's VM.

    Attributes:
        template_pve_node: The template's Proxmox node; another one than the machine's only with shared storage.
        vmid: The first one to try; one that is taken is skipped.
        storage: A full clone's storage; None: the template's.
        locks: The storage whose lock it takes, so that clones take turns; with its Proxmox node unless shared.
        after_build: The template is built first, and `template` is only its expected vmid.
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
    """Create the machine's container: unlike a clone it is configured by the same request.

    Attributes:
        vmid: The first one to try; one that is taken is skipped.
        ostemplate: The container template's volume.
        storage: The storage of its root file system.
        bridge: The bridge net0 is on.
        locks: The storage whose lock it takes, so that requests take turns.
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
    """Set the VM's hardware, cloud-init and record, and grow its disk to the wanted size."""

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
    """Start the VM, or resume it."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class AwaitGuest(BaseStep, phase="boot", title="wait for the guest"):
    """Wait for the guest's address, host key and login, and for the end of cloud-init."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class PrepareGuest(BaseStep, phase="install", title="send k3s {version}"):
    """Put the k3s binary on the guest."""

    machine: MachineName
    version: str


@dataclass(frozen=True, kw_only=True)
class InitServer(BaseStep, phase="join"):
    """Start the first server, and read its token and kubeconfig.

    Attributes:
        etcd: With embedded etcd, else sqlite.
        serves: It serves already: the others are reached through it.
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
    """Join a further server."""

    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class JoinAgent(BaseStep, phase="join", title="join as agent"):
    """Join an agent."""

    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class AwaitReady(BaseStep, phase="ready", title="wait until Ready"):
    """Wait until the Kubernetes node is Ready, with the wanted labels and taints."""

    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class WriteKubeconfig(BaseStep, phase="ready", title="write the kubeconfig"):
    """Write the kubeconfig to the state directory, and merge it where the user wants it."""

    cluster: ClusterName


@dataclass(frozen=True, kw_only=True)
class StopVm(BaseStep, phase="stop", title="power off"):
    """Power the VM off without a shutdown: it is destroyed next. Ownership is checked first.

    Attributes:
        detach_disks: Whether it is powered off too while it holds disks of Kubernetes volumes.
    """

    machine: MachineName
    detach_disks: bool = False


@dataclass(frozen=True, kw_only=True)
class DestroyVm(BaseStep, phase="destroy", title="destroy the VM"):
    """Destroy the VM with its own disks. Ownership is checked first.

    Attributes:
        detach_disks: Whether disks of Kubernetes volumes are detached before that; else they are a reason to stop.
    """

    machine: MachineName
    detach_disks: bool = False


@dataclass(frozen=True, kw_only=True)
class ForgetCluster(BaseStep, phase="forget", title="remove kubeconfig entries and state"):
    """Remove the cluster's kubeconfig entries and its state from this computer."""

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
    | ApplyManifests
    | Day2Step
    | TemplateStep
)
