"""The cluster a user wants, complete: every default is filled in, nothing is looked up any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from bootstrap.manifests.values import ManifestSource
from bootstrap.model.access.endpoint import JumpHost
from bootstrap.model.ids import ClusterName, MachineName, PoolName, PveNodeName, StorageName, Vmid
from bootstrap.model.ipv6 import IPv6Spec
from bootstrap.model.machine import K3sSettings, NodePool
from bootstrap.model.settings.cni import CniSpec
from bootstrap.model.settings.early import EarlyManifest
from bootstrap.model.settings.environment import EnvironmentSpec
from bootstrap.model.settings.gitops import GitopsSpec
from bootstrap.model.settings.hardening import Hardening
from bootstrap.model.settings.maintain import MaintainSpec
from bootstrap.model.settings.registries import RegistriesSpec
from bootstrap.model.settings.system import SystemSpec
from bootstrap.model.sizing import SizingSpec

RELEASES_URL = "https://github.com/k3s-io/k3s/releases"
CHANNELS_URL = "https://update.k3s.io/v1-release/channels"

IMAGES = ("debian-13", "debian-12", "ubuntu-24.04", "ubuntu-26.04")
"""The cloud images known by name; `data/images.yaml` says where they are."""

DEFAULT_IMAGE = "debian-13"
"""The image that our templates are built from by default."""


class CloneMode(StrEnum):
    """How VMs are made from the template."""

    LINKED = "linked"
    """Linked where that can be, else full, said aloud."""
    FULL = "full"


class HostKeyPolicy(StrEnum):
    """Where SSH host keys come from."""

    AGENT = "agent"
    """Read through the guest agent and pinned; no trust on first use."""
    ACCEPT_NEW = "accept-new"
    """Where the token may not read files in guests: the first key seen is taken, said aloud."""


class MacPolicy(StrEnum):
    """Where the MAC addresses of new machines come from."""

    PROXMOX = "proxmox"
    """Proxmox makes one up for each clone."""
    STABLE = "stable"
    """They follow from the cluster's and the machine's name."""


class BuildPolicy(StrEnum):
    """Whether `up` builds a template that is missing."""

    AUTO = "auto"
    """Yes, asked first."""
    NEVER = "never"


@dataclass(frozen=True, kw_only=True)
class TemplateRef:
    """How the template is found: by exactly one of name, tag and vmid, or by what it is made of.

    Attributes:
        image: A cloud image as `template build` takes it; beside a tag, what is built where no template has that tag.
        checksum: The image's, as `sha256:HEX`; empty for the publisher's.
        build: Whether one of `image` is built where it is missing.
        k3s: The version that machines will get, once that is known: of several templates the one that holds it is best.
    """

    name: str | None = None
    tag: str | None = None
    vmid: Vmid | None = None
    image: str | None = None
    checksum: str = ""
    build: BuildPolicy = BuildPolicy.AUTO
    k3s: str = ""

    def __str__(self) -> str:
        """As the user would say it."""
        if self.vmid is not None:
            return f"vmid {self.vmid}"
        if self.tag is not None:
            return f"tag {self.tag}"
        return f"image {self.image}" if self.image is not None else f"{self.name}"


@dataclass(frozen=True, kw_only=True)
class VmidRange:
    """The vmids our machines may have, both ends included."""

    first: Vmid
    last: Vmid

    def __contains__(self, vmid: object) -> bool:
        """Whether a vmid lies in the range."""
        return isinstance(vmid, int) and self.first <= vmid <= self.last


@dataclass(frozen=True, kw_only=True)
class StaticAddresses:
    """Fixed addresses for machines, handed out from `first` upwards.

    Attributes:
        first, last: Both ends belong to us.
        subnet: The network they are in; its prefix length goes to the guests.
        gateway: Default route, or None for none.
    """

    first: IPv4Address
    last: IPv4Address
    subnet: IPv4Network
    gateway: IPv4Address | None = None


@dataclass(frozen=True, kw_only=True)
class StorageNetwork:
    """A second network of all machines, on net1, for storage's traffic.

    Attributes:
        bridge: Proxmox bridge.
        vlan: VLAN tag 1-4094, or None.
        mtu: MTU of net1; 1 takes the bridge's, None is Proxmox's default.
        addresses: Fixed addresses, without a gateway, or None for DHCP.
    """

    bridge: str
    vlan: int | None = None
    mtu: int | None = None
    addresses: StaticAddresses | None = None


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """How machines are connected.

    Attributes:
        bridge: Proxmox bridge, or None to keep the template's net0 bridge.
        vlan: VLAN tag 1-4094, or None.
        addresses: Fixed addresses, or None for DHCP.
        subnet: Only addresses in here count as a machine's own; None accepts any of net0's.
        dns: DNS servers of either family; empty leaves it to DHCP or to Proxmox's default (the host's).
        search: DNS search domain, or None.
        macs: Where net0's MAC addresses come from.
        mtu: MTU of net0; 1 takes the bridge's, None keeps the template's.
        storage: A second network for storage's traffic, or None.
        ipv6: IPv6 besides IPv4, or None for IPv4 alone.
        cni: The CNI plugin.
    """

    bridge: str | None = None
    vlan: int | None = None
    addresses: StaticAddresses | None = None
    subnet: IPv4Network | None = None
    dns: tuple[IPv4Address | IPv6Address, ...] = ()
    search: str | None = None
    macs: MacPolicy = MacPolicy.PROXMOX
    mtu: int | None = None
    storage: StorageNetwork | None = None
    ipv6: IPv6Spec | None = None
    cni: CniSpec = field(default_factory=CniSpec)


@dataclass(frozen=True, kw_only=True)
class SshSpec:
    """How we log in to machines.

    Attributes:
        user: cloud-init's default user, created with our public key.
        private_key: A key the user gave, or None: a key pair of our own is made in the state directory.
        host_keys: Where host keys come from.
        port: TCP port of the machines' sshd.
        jump: Over which SSH server machines and the Kubernetes API are reached; None: as ~/.ssh/config says.
        jump_host_key: Fingerprint of its host key (`SHA256:...`); None: its first key is trusted and kept.
    """

    user: str = "debian"
    port: int = 22
    private_key: Path | None = None
    host_keys: HostKeyPolicy = HostKeyPolicy.AGENT
    jump: JumpHost | None = None
    jump_host_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class K3sSpec:
    """Which k3s, and from where.

    Attributes:
        version: `vX.Y.Z+k3sN`, or None to take what `channel` points to (or what `artifacts` holds).
        channel: A release channel: stable, latest, testing, vX.Y.
        artifacts: Directory with `k3s`, `sha256sum-<arch>.txt`, perhaps air-gap images, instead of releases.
        releases_url: Base of release downloads (a mirror's, perhaps).
        channels_url: Base of the channel redirects.
        tls_san: Further names and addresses for the API's certificate.
        disable: Packaged components of k3s to leave out, such as traefik.
        disable_components: Parts of k3s's own process to leave out, such as kube-proxy.
        server_config: Settings of all servers, in k3s's own keys.
        agent_config: Settings of all machines, in k3s's own keys.
        registries: What registries.yaml of all machines says, or None for no such file of ours.
        environment: Variables of k3s's units on all machines.
        embedded_registry: Whether machines share their images with each other (Spegel, in k3s).
        cluster_cidr, service_cidr: None keeps k3s's 10.42.0.0/16 and 10.43.0.0/16.
        cluster_cidr6, service_cidr6: Their IPv6 side, where `network.ipv6` is on; None makes them from the name.
    """

    version: str | None = None
    channel: str = "stable"
    artifacts: Path | None = None
    releases_url: str = RELEASES_URL
    channels_url: str = CHANNELS_URL
    tls_san: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    disable_components: tuple[str, ...] = ()
    server_config: K3sSettings = ()
    agent_config: K3sSettings = ()
    registries: RegistriesSpec | None = None
    environment: EnvironmentSpec = field(default_factory=EnvironmentSpec)
    embedded_registry: bool = False
    cluster_cidr: IPv4Network | None = None
    service_cidr: IPv4Network | None = None
    cluster_cidr6: IPv6Network | None = None
    service_cidr6: IPv6Network | None = None


@dataclass(frozen=True, kw_only=True)
class VipSpec:
    """An address that follows a living server, by keepalived.

    Attributes:
        address: In the machines' network and not in use; DHCP must not hand it out.
        router_id: VRRP's virtual router id, 1-255, or None to derive it from the cluster's name.
    """

    address: IPv4Address
    router_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class S3Spec:
    """An S3 bucket that k3s keeps snapshots in, by its own `etcd-s3` settings.

    Attributes:
        endpoint: `host` or `host:port`, without scheme.
        folder: Where in the bucket, without slashes around it; empty for its top.
        retention: How many scheduled snapshots of all servers are kept there; None for three times those on one.
        insecure: Plain HTTP.
        skip_verify: HTTPS with any certificate.
    """

    endpoint: str
    bucket: str
    region: str = "us-east-1"
    folder: str = ""
    retention: int | None = None
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    insecure: bool = False
    skip_verify: bool = False


@dataclass(frozen=True, kw_only=True)
class BackupSpec:
    """Scheduled etcd snapshots, by k3s itself. They need embedded etcd.

    Attributes:
        schedule: Five cron fields, or None for k3s's own (00:00 and 12:00).
        retention: How many are kept on each server, or None for k3s's 5.
        on_demand_retention: How many that we take are kept of one name and server, or None for what `planning` says.
        s3: Where they go as well, or None.
    """

    schedule: str | None = None
    retention: int | None = None
    on_demand_retention: int | None = None
    s3: S3Spec | None = None


@dataclass(frozen=True, kw_only=True)
class PlacementSpec:
    """Where machines may go.

    Attributes:
        pve_nodes: Allowed Proxmox nodes, or empty for all that are online.
        weights: How much a Proxmox node's free memory counts in spreading machines; 1 where it is not named.
        maintenance: Proxmox nodes that get no new machines for the time being; none of them is in `pve_nodes`.
        storage: Storage for full clones and new disks, or None for the template's.
        resource_pool: Proxmox resource pool the VMs join, or None.
        vmids: Range of vmids that is ours.
    """

    pve_nodes: tuple[PveNodeName, ...] = ()
    weights: tuple[tuple[PveNodeName, int], ...] = ()
    maintenance: tuple[PveNodeName, ...] = ()
    storage: StorageName | None = None
    resource_pool: str | None = None
    vmids: VmidRange = field(default_factory=lambda: VmidRange(first=Vmid(7000), last=Vmid(7999)))


@dataclass(frozen=True, kw_only=True)
class KeptMachine:
    """A machine of a cluster that is built again: what the new one has of the old one.

    Attributes:
        mac: net0's MAC address, in upper case: DHCP gives the old address to it.
        address: The fixed address it had.
    """

    name: MachineName
    pool: PoolName
    mac: str | None = None
    address: IPv4Address | None = None


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """The whole cluster as it should be.

    Attributes:
        name: The cluster's name.
        template: The cloud-init template to clone.
        control_plane: The servers' pool; its count is odd.
        workers: The agents' pools, in the inventory's order.
        onboot: Whether VMs start with their Proxmox node.
        protect: Whether the removal of the cluster, and of any of its servers, is refused.
        tags: Further tags of all VMs, of the user's choice.
        notes: Text for all VMs' descriptions, unless their pool has its own; empty for none.
        vip: The API's own address, or None: then it is the first server's.
        api_name: A DNS name of the user's for the API, or None.
        system: Packages and kernel settings of all machines; pools have more.
        hardening: Which guide's settings the cluster has.
        labels_from_proxmox: Whether Kubernetes nodes get zone and region labels: their Proxmox node, and the cluster.
        early_manifests: What lies on the first server before k3s starts there for the first time.
        kept: Machines that are to come back as they were called and reached; empty unless the cluster is rebuilt.
        manifests: What is applied to Kubernetes; None where the inventory does not say. An empty list prunes all.
        gitops: The repository that the cluster is handed over to, whose objects are among the manifests; None for none.
        addons: The named add-ons among them, whose needs are in this specification already.
        states_settings: Whether there is a file that says how k3s is to run. Where there is none, a cluster that runs
            keeps the settings that it has: flags and environment know of none.
    """

    name: ClusterName
    template: TemplateRef
    control_plane: NodePool
    workers: tuple[NodePool, ...] = ()
    clone: CloneMode = CloneMode.LINKED
    onboot: bool = True
    protect: bool = False
    tags: tuple[str, ...] = ()
    notes: str = ""
    network: NetworkSpec = field(default_factory=NetworkSpec)
    ssh: SshSpec = field(default_factory=SshSpec)
    k3s: K3sSpec = field(default_factory=K3sSpec)
    sizing: SizingSpec = field(default_factory=SizingSpec)
    placement: PlacementSpec = field(default_factory=PlacementSpec)
    vip: VipSpec | None = None
    api_name: str | None = None
    backup: BackupSpec = field(default_factory=BackupSpec)
    maintain: MaintainSpec = field(default_factory=MaintainSpec)
    system: SystemSpec = field(default_factory=SystemSpec)
    hardening: Hardening = Hardening.NONE
    labels_from_proxmox: bool = True
    early_manifests: tuple[EarlyManifest, ...] = ()
    kept: tuple[KeptMachine, ...] = ()
    manifests: tuple[ManifestSource, ...] | None = None
    gitops: GitopsSpec | None = None
    addons: tuple[str, ...] = ()
    states_settings: bool = True

    @property
    def api_host(self) -> str | None:
        """What kubeconfigs call the API: its name, else its own address; None for a server's."""
        return self.api_name or (str(self.vip.address) if self.vip is not None else None)

    @property
    def api_sans(self) -> tuple[str, ...]:
        """What the API's certificate is for besides the servers' own addresses, each once."""
        own = (str(self.vip.address) if self.vip is not None else None, self.api_name)
        return tuple(dict.fromkeys(each for each in (*own, *self.k3s.tls_san) if each))

    @property
    def pools(self) -> tuple[NodePool, ...]:
        """All pools, the control plane first."""
        return (self.control_plane, *self.workers)

    def with_pools(self, change: Callable[[NodePool], NodePool]) -> ClusterSpec:
        """The spec with each pool changed."""
        return replace(self, control_plane=change(self.control_plane), workers=tuple(map(change, self.workers)))
