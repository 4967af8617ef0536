"""All keys of an inventory: the table for the parser, the JSON Schema and the reference."""

from __future__ import annotations

from typing import Final

from bootstrap.addons import Facts, facts_of
from bootstrap.inventory.files import Places, read_text
from bootstrap.inventory.keys.applied.gitops import GitopsKeys
from bootstrap.inventory.keys.applied.manifests import MANIFESTS, ManifestKeys, with_addon, with_manifests
from bootstrap.inventory.keys.backup import BackupKeys
from bootstrap.inventory.keys.k3s import K3sKeys
from bootstrap.inventory.keys.maintain import MaintainKeys
from bootstrap.inventory.keys.network import NetworkKeys
from bootstrap.inventory.keys.pools import ControlPlaneKeys, PoolKeys
from bootstrap.inventory.keys.proxmox import ProxmoxKeys
from bootstrap.inventory.keys.system import FILES, HooksKeys, make_system
from bootstrap.inventory.keys.template import DEFAULT_TEMPLATE_TAG, TemplateKeys
from bootstrap.inventory.values import reach_formats, system_formats
from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values.containers import ListOf, MapOf
from bootstrap.inventory.values.scalars import Boolean, Integer, Number, Size, choice_of
from bootstrap.inventory.values.section import Key, Section, Short, fill
from bootstrap.model.access.endpoint import PveEndpoint
from bootstrap.model.cluster import DEFAULT_IMAGE, CloneMode, ClusterSpec, HostKeyPolicy, SshSpec
from bootstrap.model.ids import PoolName
from bootstrap.model.machine import CONTROL_PLANE_POOL, Role
from bootstrap.model.settings.hardening import Hardening
from bootstrap.model.sizing import SizingSpec

DEFAULT_CLUSTER: Final = "homelab"
WORKERS_POOL: Final = PoolName("workers")
_SSH: Final = SshSpec()
_SIZING: Final = SizingSpec()


class SshKeys(Section, makes=SshSpec):
    """SSH login to the machines."""

    user = Key(kind=forms.LINUX_USER, default=_SSH.user, example="ops", doc="cloud-init's user on the machines.")
    port = Key(kind=Integer(minimum=1, maximum=65535), default=_SSH.port, example=22, doc="Port of the machines' sshd.")
    private_key = Key(
        kind=forms.FILE,
        default_doc="a new key pair",
        example="~/.ssh/id_ed25519",
        doc="SSH key to log in with.",
    )
    host_keys = Key(
        kind=choice_of(HostKeyPolicy),
        default=_SSH.host_keys.value,
        example="accept-new",
        doc="How host keys are verified: read through Proxmox VE, or trusted on first use.",
    )
    jump = Key(
        kind=reach_formats.JUMP_HOST,
        default_doc="the ProxyJump of ~/.ssh/config, or direct",
        example="root@pve.example.org",
        doc="SSH server over which the machines and the Kubernetes API are reached, as user@host or user@host:port.",
    )
    jump_host_key = Key(
        kind=reach_formats.HOST_KEY,
        default_doc="the key it shows first",
        example="SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDgWpVyZjFkPZRTtBA",
        doc="Fingerprint of the jump host's SSH host key, as `ssh-keygen -lf` prints it.",
    )


class SizingKeys(Section, makes=SizingSpec):
    """Limits for the use of the Proxmox nodes."""

    cpu_overcommit = Key(
        kind=Number(minimum=1, maximum=64),
        default=_SIZING.cpu_overcommit,
        example=2,
        doc="Maximum ratio of all guests' vCPUs to the Proxmox node's cores.",
    )
    memory_reserve = Key(
        kind=Size(minimum=0, maximum=16 * 1024 * 1024),
        default=f"{_SIZING.memory_reserve_mib}MiB",
        example="4GiB",
        doc="RAM reserved for each Proxmox node itself.",
        fills="memory_reserve_mib",
    )
    storage_reserve = Key(
        kind=Size(minimum=0, maximum=1024 * 1024, gib=True, rounds_up=True),
        default=f"{_SIZING.storage_reserve_gib}GiB",
        example="50GiB",
        doc="Space kept free on each storage; rounded up to whole GiB.",
        fills="storage_reserve_gib",
    )


class Root(
    Section,
    refusal=("the file must hold a mapping", "begin with `cluster: NAME`"),
):
    """A k3s cluster on Proxmox VE."""

    cluster = Key(
        kind=forms.CLUSTER_NAME,
        default=DEFAULT_CLUSTER,
        example="demo",
        doc="The cluster's name; machines are NAME-cp-1, NAME-workers-1, ...",
        fills="name",
    )
    proxmox = Key(kind=ProxmoxKeys, fills="placement")
    template = Key(
        kind=Short(section=TemplateKeys, keys=(("str", TemplateKeys.name), ("int", TemplateKeys.vmid))),
        default_doc=f"{{tag: {DEFAULT_TEMPLATE_TAG}}}, or {{image: {DEFAULT_IMAGE}}} if no template has it",
        example="debian-12-k3s",
        doc="The cloud-init template to clone; a plain word is its name, a plain number its vmid.",
    )
    clone = Key(
        kind=choice_of(CloneMode),
        default=CloneMode.LINKED.value,
        example="full",
        doc="Clone type of VMs: linked where possible, or full.",
    )
    onboot = Key(kind=Boolean(), default=True, example=False, doc="Start VMs when their Proxmox node boots.")
    protect = Key(
        kind=Boolean(),
        default=False,
        example=True,
        doc="Refuse `down`, `rebuild` and everything that leaves fewer servers, until this is removed or false.",
    )
    tags = Key(
        kind=ListOf(item=forms.VM_TAG),
        default_doc="none",
        example=["production"],
        doc="Further tags of all VMs in Proxmox VE, kept in step by `up`.",
    )
    notes = Key(
        kind=forms.NOTES,
        default_doc="none",
        example="Ask Alex before a restart.",
        doc="Text for the notes of all VMs in Proxmox VE (Markdown), kept in step by `up`.",
    )
    labels_from_proxmox = Key(
        kind=Boolean(),
        default=True,
        example=False,
        doc="Label Kubernetes nodes with their Proxmox node as zone and the cluster as region.",
    )
    network = Key(kind=NetworkKeys)
    ssh = Key(kind=SshKeys)
    k3s = Key(kind=K3sKeys)
    control_plane = Key(kind=ControlPlaneKeys)
    workers = Key(
        kind=Short(section=PoolKeys, keys=(("int", PoolKeys.count),)),
        default_doc="one machine, unless pools is given",
        example=3,
        doc="The pool named workers; a plain number is its count.",
    )
    pools = Key(
        kind=MapOf(key=forms.POOL_NAME, value=PoolKeys),
        default_doc="none",
        example={"gpu": {"count": 1, "cores": 8}},
        doc="Further pools of k3s agents by name, each with the keys of workers.",
    )
    packages = Key(
        kind=system_formats.PACKAGES,
        default_doc="none",
        example=["nfs-common", "open-iscsi"],
        doc="Packages for all machines, installed before k3s starts; removed ones stay installed.",
    )
    sysctls = Key(
        kind=system_formats.SYSCTLS,
        default_doc="none",
        example={"vm.max_map_count": 262144},
        doc="Kernel settings of all machines; not of containers, which have their Proxmox node's.",
    )
    kernel_modules = Key(
        kind=system_formats.KERNEL_MODULES,
        default_doc="none",
        example=["iscsi_tcp"],
        doc="Kernel modules loaded on all machines, now and at boot; not in containers.",
    )
    files = Key(
        kind=FILES,
        default_doc="none",
        example=[{"path": "/etc/motd", "content": "Welcome"}],
        doc="Files on all machines, which belong to root; removed ones are removed unless they were changed there.",
    )
    hooks = Key(kind=HooksKeys, optional=True, doc="Scripts that run on all machines as root, once for each content.")
    manifests = Key(
        kind=MANIFESTS,
        default_doc="nothing is applied or pruned",
        example=["manifests/", "cluster-issuer.yaml", {"addon": "cert-manager"}],
        doc="Kubernetes objects and add-ons that `up` and `manifests apply` apply. What leaves the list is pruned.",
    )
    gitops = Key(kind=GitopsKeys, optional=True)
    hardening = Key(
        kind=choice_of(Hardening),
        default=Hardening.NONE.value,
        example="cis",
        doc="Harden machines and k3s by k3s's CIS guide: kernel settings, Pod Security, audit log, file modes.",
    )
    sizing = Key(kind=SizingKeys)
    backup = Key(kind=BackupKeys)
    maintain = Key(kind=MaintainKeys)

    @property
    def worker_pools(self) -> tuple[tuple[PoolName, PoolKeys], ...] | None:
        """All pools of agents, `workers` first; None where one of them is wrong.

        Without `workers` and `pools` the pool `workers` has one machine.
        """
        pools: list[tuple[PoolName, PoolKeys]] = []
        if self.given(Root.workers) or not self.given(Root.pools):
            if self.workers is None:
                return None
            pools.append((WORKERS_POOL, self.workers))
        further = self.pools if self.given(Root.pools) else ()
        return None if further is None else (*pools, *further)

    @property
    def all_pools(self) -> tuple[PoolKeys, ...]:
        """The servers, and the pools of agents that are right."""
        servers = (self.control_plane,) if self.control_plane is not None else ()
        return (*servers, *(pool for _name, pool in self.worker_pools or ()))

    @property
    def machine_count(self) -> int | None:
        """The number of machines in the inventory, or None where a count is wrong."""
        pools = self.worker_pools
        if self.control_plane is None or pools is None:
            return None
        counts = [self.control_plane.count, *(pool.count for _name, pool in pools)]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def make(self, places: Places, endpoint: PveEndpoint | None = None) -> ClusterSpec:
        """The cluster, from an inventory without problems.

        Args:
            places: For relative paths, and secrets.
            endpoint: How Proxmox VE is reached; add-ons use it, too.
        """
        entries, spec = self.applied, self._bare(places)
        return with_manifests(spec, entries, self.facts(places, endpoint), places) if entries is not None else spec

    @property
    def applied(self) -> tuple[ManifestKeys, ...] | None:
        """What is applied to Kubernetes, with the controller of `gitops`; None where the inventory does not say."""
        entries = self.manifests if self.given(Root.manifests) else None
        gitops = self.gitops
        if gitops is None or gitops.controller is None:
            return entries
        return with_addon(entries or (), gitops.controller, gitops.at(GitopsKeys.controller))

    def facts(self, places: Places, endpoint: PveEndpoint | None) -> Facts:
        """What add-ons may know of the cluster."""
        if endpoint is None:
            return facts_of(self._bare(places))
        ca = read_text(endpoint.tls.ca_file) if endpoint.tls.ca_file is not None else None
        return facts_of(self._bare(places), url=endpoint.url, tls=endpoint.tls, ca=ca)

    def _bare(self, places: Places) -> ClusterSpec:
        """The cluster without what is applied to it."""
        control_plane, cluster = self.sure(Root.control_plane), self.sure(Root.cluster)
        return fill(
            ClusterSpec,
            self,
            control_plane,
            places=places,
            system=make_system(self, self.files, self.hooks, places),
            control_plane=control_plane.pool(CONTROL_PLANE_POOL, Role.CONTROL_PLANE, places),
            workers=tuple(pool.pool(name, Role.WORKER, places) for name, pool in self.worker_pools or ()),
            backup=self.sure(Root.backup).make_for(cluster, places),
            manifests=None,  # see with_manifests
        )
