"""What the library needs of the outside world, as narrow protocols; `bootstrap.adapters` makes them real.

Every method raises only errors of `bootstrap.errors`. Ports are called from many threads at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

from bootstrap.model.cluster import K3sSpec, VmidRange
from bootstrap.model.endpoint import PveEndpoint
from bootstrap.model.ids import ClusterName, MachineName, PveNodeName, StorageName, Vmid
from bootstrap.model.machine import Taint
from bootstrap.model.observed import GuestInterface as GuestInterface
from bootstrap.model.observed import KubeNode, PveNodeFacts, PveVersion, TemplateFacts, VmRecord

Warn = Callable[[str], None]
"""Takes a warning that stops nothing, such as a Proxmox task's `WARNINGS: 1` with its log line."""


@dataclass(frozen=True, kw_only=True)
class PveFacts:
    """One reading of a Proxmox cluster; `used_vmids` are those of VMs and containers alike."""

    version: PveVersion
    pve_nodes: tuple[PveNodeFacts, ...]
    templates: tuple[TemplateFacts, ...]
    vms: tuple[VmRecord, ...]
    used_vmids: frozenset[Vmid]


@dataclass(frozen=True, kw_only=True)
class CloneRequest:
    """A clone of a template.

    Attributes:
        full: A full clone; `storage` is its target, or None for the template's.
        description: Goes in with the request itself, so that the VM is known as ours from its first instant.
    """

    template: Vmid
    pve_node: PveNodeName
    vmid: Vmid
    name: MachineName
    description: str
    full: bool
    storage: StorageName | None = None
    resource_pool: str | None = None


@dataclass(frozen=True, kw_only=True)
class RightsNeeded:
    """What a token's rights are needed for.

    Attributes:
        templates: Templates to clone; their Proxmox nodes, storages and bridges count too.
        storages: Further storages.
        bridges: Further bridges.
        resource_pool: Proxmox resource pool the VMs join, or None.
        reads_guest_files: Whether SSH host keys are read through the guest agent.
    """

    templates: tuple[TemplateFacts, ...] = ()
    storages: tuple[StorageName, ...] = ()
    bridges: tuple[str, ...] = ()
    resource_pool: str | None = None
    reads_guest_files: bool = True


@dataclass(frozen=True, kw_only=True)
class MissingPrivileges:
    """Privileges a token lacks on a path; `remedy` is the command that grants them."""

    path: str
    privileges: tuple[str, ...]
    remedy: str

    def __str__(self) -> str:
        """As in `/vms: VM.Clone, VM.Allocate`."""
        return f"{self.path}: {', '.join(self.privileges)}"


class Hypervisor(Protocol):
    """Proxmox VE. Every method that starts a Proxmox task awaits it."""

    def observe(self, *, cluster: ClusterName, vmids: VmidRange) -> PveFacts:
        """Read everything planning needs. Reads only.

        `vms` holds each VM (no templates) that lies in `vmids`, carries our tag, has a record, or is named
        `<cluster>-...`.
        """
        ...

    def missing_privileges(self, rights: RightsNeeded) -> tuple[MissingPrivileges, ...]:
        """What the token lacks to run `up` and `down`, one for each path."""
        ...

    def read_vm(self, vmid: Vmid, *, pve_node: PveNodeName) -> VmRecord:
        """Read one VM afresh. Raises VmNotFoundError."""
        ...

    def clone(self, request: CloneRequest, *, warn: Warn) -> None:
        """Clone a template. Raises VmidTakenError when somebody has taken the vmid meanwhile."""
        ...

    def configure(self, vmid: Vmid, *, pve_node: PveNodeName, settings: Mapping[str, str | int]) -> None:
        """Set config keys (`sshkeys` in plain text: the adapter does Proxmox's double encoding)."""
        ...

    def grow_disk(self, vmid: Vmid, *, pve_node: PveNodeName, disk: str, size_gib: int, warn: Warn) -> None:
        """Grow a disk to a size; never shrinks it."""
        ...

    def start(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """Power on. A VM that runs already is fine."""
        ...

    def shutdown(self, vmid: Vmid, *, pve_node: PveNodeName, timeout_s: int, warn: Warn) -> None:
        """Ask the guest to power off, and pull the plug after `timeout_s`."""
        ...

    def stop(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """Pull the plug."""
        ...

    def destroy(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """Delete a stopped VM with its disks, and confirm that it is gone. A VM that is gone already is fine."""
        ...

    def guest_interfaces(self, vmid: Vmid, *, pve_node: PveNodeName) -> tuple[GuestInterface, ...]:
        """Ask the guest agent for the interfaces. At most one such call is in flight per Proxmox node.

        Raises:
            AgentNotConfiguredError: Final.
            AgentNotRunningError: The guest still boots.
        """
        ...

    def read_guest_file(self, vmid: Vmid, *, pve_node: PveNodeName, path: str) -> str:
        """Read a small text file of the guest through its agent.

        Raises:
            PermissionDeniedError: The token may not (PVE 9: VM.GuestAgent.FileRead).
            AgentNotRunningError: No answer, or the file is not there yet.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class GuestScript:
    """One run of a script of `bootstrap/data/guest/` on a guest, as root.

    Attributes:
        name: File name, such as `install-k3s.sh`.
        env: Parameters; never secrets.
        secret_files: Remote file name (relative to the script's own directory) to content; written with mode
            0600 before the script starts; the script removes or moves them.
    """

    name: str
    env: tuple[tuple[str, str], ...] = ()
    secret_files: tuple[tuple[str, str], ...] = ()


class GuestShell(Protocol):
    """One SSH connection to a machine."""

    def run(self, script: GuestScript, *, timeout_s: float) -> str:
        """Run a script and return its stdout. Raises ScriptError (status, stderr in details), SshUnreachableError."""
        ...

    def upload(self, source: Path, *, name: str) -> None:
        """Put a local file beside the scripts (their working directory) under `name`, mode 0600, atomically."""
        ...

    def close(self) -> None:
        """End the connection; safe to call twice."""
        ...


class GuestShells(Protocol):
    """Opens SSH connections."""

    @property
    def public_key(self) -> str:
        """The public key machines are given, as one `authorized_keys` line."""
        ...

    def connect(
        self, machine: MachineName, address: IPv4Address, *, user: str, host_key: str | None, timeout_s: float
    ) -> GuestShell:
        """Log in.

        Args:
            machine: For error texts.
            address: Where SSH listens, port 22.
            user: Login name; may use `sudo -n`.
            host_key: `ssh-ed25519 AAAA...` to accept and no other; None accepts any (the caller says so aloud).
            timeout_s: For connecting and logging in, in all.

        Raises:
            SshUnreachableError: Refused, timed out, reset: may pass while the machine boots.
            HostKeyError: Another host key than `host_key`.
            GuestError: The key was refused and the like: final.
        """
        ...


class KubeApi(Protocol):
    """The Kubernetes API of one cluster."""

    def ready(self) -> bool:
        """Whether `/readyz` answers `ok`; False where nothing answers at all. Raises KubernetesError on 401/403."""
        ...

    def kube_nodes(self) -> tuple[KubeNode, ...]:
        """List the nodes. Raises KubeUnreachableError."""
        ...

    def await_node(
        self, name: MachineName, *, accept: Callable[[KubeNode | None], bool], timeout_s: float
    ) -> KubeNode | None:
        """Wait until `accept` is true of the node (None: not registered), fed by one shared watch.

        Returns the last state seen once accepted, or when `timeout_s` has passed (the caller checks again).
        """
        ...

    def set_node_metadata(self, name: MachineName, *, labels: Mapping[str, str], taints: Iterable[Taint]) -> bool:
        """Make sure these labels and taints are on the node; others stay. Whether anything changed."""
        ...

    def delete_kube_node(self, name: MachineName, *, timeout_s: float) -> None:
        """Delete the node object, waiting `timeout_s` at most (a finalizer can hold it); gone already is fine."""
        ...

    def close(self) -> None:
        """End the watch."""
        ...


class KubeApis(Protocol):
    """Connects to Kubernetes."""

    def connect(self, kubeconfig: str) -> KubeApi:
        """A client for the (only) context of a kubeconfig, as YAML text. Does not talk to it yet."""
        ...


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A k3s binary at hand.

    Attributes:
        version: What `k3s --version` will say, `vX.Y.Z+k3sN`.
        arch: `amd64` or `arm64`.
        binary: Path of the verified file here.
        sha256: Its checksum in lower-case hex.
        images: Verified air-gap image archives, if there are any.
    """

    version: str
    arch: str
    binary: Path
    sha256: str
    images: tuple[Path, ...] = ()


class ArtifactSource(Protocol):
    """Where k3s comes from."""

    def resolve(self, k3s: K3sSpec) -> str:
        """The version `k3s` means: as given, of its artifact directory, or what its channel points to now."""
        ...

    def fetch(self, k3s: K3sSpec, *, version: str, arch: str) -> Artifact:
        """Make a release's files available here, once (cached); the checksum is checked every time.

        Raises:
            ArtifactError: Not there, not reachable, or the wrong checksum.
        """
        ...

    def check(self, k3s: K3sSpec, *, version: str, arch: str) -> str:
        """Whether `fetch` would do, short of a download: what was found, in a few words.

        Raises:
            ArtifactError: It would not.
        """
        ...


class KubeconfigStore(Protocol):
    """The user's kubeconfig files."""

    def merge(self, kubeconfig: str, *, name: ClusterName, path: Path | None) -> Path:
        """Merge a kubeconfig's entries as cluster, user and context `name`; make it current; return the file.

        Args:
            kubeconfig: YAML text with one cluster, user and context.
            name: What our entries are called.
            path: File to write, or None for the first of `$KUBECONFIG`, else ~/.kube/config.
        """
        ...

    def remove(self, *, name: ClusterName, path: Path | None) -> Path | None:
        """Remove our entries; the file that changed, or None when there were none."""
        ...


class StateStore(Protocol):
    """Secrets of one cluster, in the state directory, mode 0600. Everything in it can be recovered."""

    def read(self, cluster: ClusterName, item: str) -> str | None:
        """An item's text (`token`, `kubeconfig`, ...), or None."""
        ...

    def write(self, cluster: ClusterName, item: str, text: str) -> None:
        """Put an item there, atomically."""
        ...

    def forget(self, cluster: ClusterName) -> bool:
        """Remove all of a cluster's items; whether there were any."""
        ...


@dataclass(frozen=True, kw_only=True)
class Marker:
    """A VM without disks that is never started: a note that all who use a Proxmox cluster can see.

    Attributes:
        lock: Proxmox's config lock: `create` while it is being made (name and description come with the end of that).
        digest: Names this very state of its config.
    """

    vmid: Vmid
    pve_node: PveNodeName
    name: str
    description: str
    lock: str | None
    digest: str


class Markers(Protocol):
    """Marker VMs of a Proxmox cluster."""

    def find(self, vmid: Vmid) -> Marker | None:
        """The VM of this vmid as it is now, marker or not; None where no VM that we may see has it."""
        ...

    def create(
        self,
        vmid: Vmid,
        *,
        pve_nodes: tuple[PveNodeName, ...],
        name: str,
        description: str,
        tags: tuple[str, ...],
        resource_pool: str | None,
    ) -> None:
        """Make one on the first of `pve_nodes` (empty: of all) that is online, and await it.

        Raises:
            VmidTakenError: Somebody has the vmid: of several who try at once, one gets it.
        """
        ...

    def rewrite(self, marker: Marker, *, name: str, description: str, tags: tuple[str, ...]) -> bool:
        """Change one, if it still is as it was read; False where it is not, or is gone."""
        ...

    def remove(self, marker: Marker) -> None:
        """Delete one; gone already is fine."""
        ...


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process, as others can recognise it.

    Attributes:
        who: `user@host`.
        mark: Tells it from all other processes there ever were on its host; empty where that cannot be had.
    """

    who: str
    pid: int
    mark: str


class Processes(Protocol):
    """This process, and others of this machine."""

    def this(self) -> Process:
        """The process we are."""
        ...

    def state(self, mark: str) -> bool | None:
        """Whether the process of a mark lives; None where that cannot be told from here (another machine's)."""
        ...

    def utc_text(self) -> str:
        """The wall clock, such as `2025-03-01 12:00:00 UTC`."""
        ...

    def unix_s(self) -> float:
        """The wall clock as Unix seconds."""
        ...


@dataclass(frozen=True, kw_only=True)
class CertificateFacts:
    """The certificate somebody shows.

    Attributes:
        fingerprint: SHA-256, upper-case hex pairs with colons.
        days_left: Until it ends by our clock; negative when it has.
        trust: Why it is accepted, in a few words; empty where it is not.
        problem: Why it is not accepted, in TLS's words; empty where it is.
    """

    fingerprint: str
    days_left: float
    trust: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class EndpointFacts:
    """Proxmox VE's endpoint, asked without the token.

    Attributes:
        clock_s: By how many seconds its clock is ahead of ours (whole seconds); None where it does not tell.
    """

    certificate: CertificateFacts
    clock_s: float | None


class Probes(Protocol):
    """Looks at what answers on the network. Sends no secret, changes nothing."""

    def endpoint(self, endpoint: PveEndpoint) -> EndpointFacts:
        """Look at Proxmox VE's endpoint. Raises HypervisorError where nothing answers."""
        ...

    def certificate(self, address: IPv4Address, port: int) -> CertificateFacts:
        """The certificate shown there, its trust not judged. Raises HomelabError where none is."""
        ...

    def answers(self, address: IPv4Address) -> bool:
        """Whether somebody has an address, as far as can be told without root: by TCP port 22 and by ARP."""
        ...


class Clock(Protocol):
    """Time, so that waits can be tested."""

    def now_s(self) -> float:
        """Seconds of a monotonic clock."""
        ...

    def sleep(self, seconds: float) -> None:
        """Pause the calling thread."""
        ...


@dataclass(frozen=True, kw_only=True)
class Ports:
    """All ports a command needs, in one value."""

    hypervisor: Hypervisor
    shells: GuestShells
    kube: KubeApis
    artifacts: ArtifactSource
    kubeconfigs: KubeconfigStore
    state: StateStore
    clock: Clock
    markers: Markers
    processes: Processes
    probes: Probes
