"""All that an inventory may hold: the one table that the parser, the JSON Schema and the reference are made from."""

from __future__ import annotations

from typing import Final

from bootstrap.inventory.keys.backup import BACKUP
from bootstrap.inventory.keys.network import NETWORK
from bootstrap.inventory.keys.pools import CONTROL_PLANE_SECTION, COUNT, POOL
from bootstrap.inventory.values import ipv6_formats as forms6
from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values.containers import Field, ListOf, MapOf, Section, Short, Values
from bootstrap.inventory.values.scalars import Boolean, Choice, Integer, Number, Size
from bootstrap.model.cluster import (
    DEFAULT_IMAGE,
    IMAGES,
    BuildPolicy,
    CloneMode,
    HostKeyPolicy,
    K3sSpec,
    SizingSpec,
    SshSpec,
)
from bootstrap.model.ids import PveNodeName

DEFAULT_CLUSTER: Final = "homelab"
DEFAULT_TEMPLATE_TAG: Final = "homelab-k8s-template"
_K3S: Final = K3sSpec()
_SSH: Final = SshSpec()
_SIZING: Final = SizingSpec()


TOKEN_ENV: Final = Field(name="env", kind=forms.ENV_NAME, example="PROXMOX_VE_API_TOKEN", doc="Environment variable.")
TOKEN_FILE: Final = Field(
    name="file", kind=forms.FILE, example="~/.config/homelab-k8s/token", doc="File that holds it and nothing else."
)
TOKEN_KEYRING: Final = Field(
    name="keyring",
    kind=forms.KEYRING_NAME,
    example="homelab-k8s/automation@pve!homelab",
    doc="service/user in the system's keyring.",
)
TOKEN_SECTION: Final = Section(
    doc="Where the API token comes from: `user@realm!name=secret`, or the secret alone where token_id is given.",
    fields=(TOKEN_ENV, TOKEN_FILE, TOKEN_KEYRING),
    exclusive=("env", "file", "keyring"),
    needs_one=True,
    refusal=(
        "a secret does not belong in this file",
        "say where it is: {env: NAME}, {file: PATH} or {keyring: service/user}",
    ),
)

FINGERPRINT: Final = Field(
    name="fingerprint",
    kind=forms.FINGERPRINT,
    example=":".join(["AB"] * 32),
    doc="SHA-256 of the certificate, as Proxmox shows it; only this certificate is taken.",
)
CA_FILE: Final = Field(
    name="ca_file",
    kind=forms.FILE,
    example="pve-root-ca.pem",
    doc="PEM file, such as a copy of /etc/pve/pve-root-ca.pem.",
)
INSECURE: Final = Field(name="insecure", kind=Boolean(), default=False, doc="No check at all; every run says so.")
TLS_SECTION: Final = Section(
    doc="How the API's certificate is checked; one of the three, or none for the system's CAs.",
    fields=(FINGERPRINT, CA_FILE, INSECURE),
    exclusive=("fingerprint", "ca_file", "insecure"),
)

ENDPOINT: Final = Field(
    name="endpoint",
    kind=forms.ENDPOINT,
    default_doc="PROXMOX_VE_ENDPOINT",
    example="https://192.168.1.10:8006",
    doc="Address of the Proxmox VE API; port 8006 where none is given.",
)
TOKEN_ID: Final = Field(
    name="token_id",
    kind=forms.TOKEN_ID,
    default_doc="comes with the token",
    example="automation@pve!homelab",
    doc="Id of the API token, without the secret.",
)
TOKEN: Final = Field(name="token", kind=TOKEN_SECTION, default_doc="PROXMOX_VE_API_TOKEN", doc=TOKEN_SECTION.doc)
TLS: Final = Field(
    name="tls",
    kind=TLS_SECTION,
    default_doc="PROXMOX_VE_FINGERPRINT or PROXMOX_VE_INSECURE, else the system's CAs",
    doc=TLS_SECTION.doc,
)
PVE_NODE_NAME: Final = Field(name="name", kind=forms.PVE_NODE_NAME, example="pve1", doc="Its name.")
PVE_NODE_WEIGHT: Final = Field(
    name="weight",
    kind=Integer(minimum=1, maximum=100),
    default=1,
    example=2,
    doc="How much its free memory counts where machines are spread.",
)
PVE_NODE_MAINTENANCE: Final = Field(
    name="maintenance",
    kind=Boolean(),
    default=False,
    example=True,
    doc="Whether it gets no new machines for the time being; those that are there stay.",
)


def _pve_node_name(values: Values) -> PveNodeName | None:
    return values.get(PVE_NODE_NAME)


PVE_NODES: Final = Field(
    name="nodes",
    kind=ListOf(
        item=Short(
            section=Section(
                doc="A Proxmox node that machines may go to; a plain word is its name.",
                fields=(PVE_NODE_NAME, PVE_NODE_WEIGHT, PVE_NODE_MAINTENANCE),
            ),
            keys=(("str", PVE_NODE_NAME),),
        ),
        same=_pve_node_name,
        what="name",
    ),
    default_doc="all that are online",
    example=["pve1", {"name": "pve2", "weight": 2}],
    doc="Proxmox nodes that machines may go to, by name or with a weight.",
)
STORAGE: Final = Field(
    name="storage",
    kind=forms.STORAGE_NAME,
    default_doc="the template's",
    example="local-lvm",
    doc="Storage for full clones and new disks.",
)
RESOURCE_POOL: Final = Field(
    name="pool", kind=forms.POOL_ID, default_doc="none", example="k8s", doc="Proxmox resource pool the VMs join."
)
VMIDS: Final = Field(
    name="vmids",
    kind=forms.VMID_RANGE,
    default="7000-7999",
    example="8100-8199",
    doc="Range of vmids that is the cluster's, both ends included.",
)
PROXMOX: Final = Field(
    name="proxmox",
    kind=Section(
        doc="The Proxmox VE API and where machines go.",
        fields=(ENDPOINT, TOKEN_ID, TOKEN, TLS, PVE_NODES, STORAGE, RESOURCE_POOL, VMIDS),
    ),
    doc="The Proxmox VE API and where machines go.",
)

TEMPLATE_NAME: Final = Field(name="name", kind=forms.VM_NAME, example="debian-12-k3s", doc="The template's name.")
TEMPLATE_TAG: Final = Field(name="tag", kind=forms.TAG, example="k3s-template", doc="A tag it carries.")
TEMPLATE_VMID: Final = Field(
    name="vmid", kind=Integer(minimum=100, maximum=forms.MAX_VMID), example=9000, doc="Its vmid."
)
TEMPLATE_IMAGE: Final = Field(
    name="image",
    kind=forms.IMAGE,
    default_doc=f"{DEFAULT_IMAGE}, where no template has the tag {DEFAULT_TEMPLATE_TAG}",
    example="debian-13",
    doc=f"The cloud image that a template of ours is made of: {', '.join(IMAGES)}, an "
    "https address, or a volume on the Proxmox storage.",
)
TEMPLATE_CHECKSUM: Final = Field(
    name="checksum",
    kind=forms.CHECKSUM,
    default_doc="the publisher's",
    example="sha256:" + "0123456789abcdef" * 4,
    doc="The image's checksum.",
)
TEMPLATE_BUILD: Final = Field(
    name="build",
    kind=Choice(options=tuple(BuildPolicy)),
    default=BuildPolicy.AUTO.value,
    example="never",
    doc="Whether `up` builds the template of `image` where it is missing; it asks first.",
)
TEMPLATE_KIND: Final = Short(
    section=Section(
        doc="The cloud-init template: by name, tag or vmid one that is there, or by image one that is made.",
        fields=(TEMPLATE_NAME, TEMPLATE_TAG, TEMPLATE_VMID, TEMPLATE_IMAGE, TEMPLATE_CHECKSUM, TEMPLATE_BUILD),
        exclusive=("name", "tag", "vmid", "image"),
    ),
    keys=(("str", TEMPLATE_NAME), ("int", TEMPLATE_VMID)),
)
TEMPLATE: Final = Field(
    name="template",
    kind=TEMPLATE_KIND,
    default_doc=f"{{tag: {DEFAULT_TEMPLATE_TAG}}}, and {{image: {DEFAULT_IMAGE}}} where none has it",
    example="debian-12-k3s",
    doc="The cloud-init template to clone; a plain word is its name, a plain number its vmid.",
)

SSH_USER: Final = Field(
    name="user", kind=forms.LINUX_USER, default=_SSH.user, example="ops", doc="cloud-init's user on the machines."
)
SSH_PORT: Final = Field(
    name="port",
    kind=Integer(minimum=1, maximum=65535),
    default=_SSH.port,
    example=22,
    doc="Port of the machines' sshd.",
)
PRIVATE_KEY: Final = Field(
    name="private_key",
    kind=forms.FILE,
    default_doc="a key pair of our own is made",
    example="~/.ssh/id_ed25519",
    doc="SSH key to log in with.",
)
HOST_KEYS: Final = Field(
    name="host_keys",
    kind=Choice(options=tuple(HostKeyPolicy)),
    default=_SSH.host_keys.value,
    example="accept-new",
    doc="Where host keys come from: read through Proxmox VE, or the first one seen, which is kept.",
)
SSH: Final = Field(
    name="ssh",
    kind=Section(doc="How machines are logged in to.", fields=(SSH_USER, SSH_PORT, PRIVATE_KEY, HOST_KEYS)),
    doc="How machines are logged in to.",
)

VERSION: Final = Field(
    name="version",
    kind=forms.K3S_VERSION,
    default_doc="what the channel points to",
    example="v1.33.3+k3s1",
    doc="The k3s version.",
)
CHANNEL: Final = Field(
    name="channel", kind=forms.K3S_CHANNEL, default=_K3S.channel, example="v1.33", doc="A k3s release channel."
)
ARTIFACTS: Final = Field(
    name="artifacts",
    kind=forms.FILE,
    default_doc="HOMELAB_K3S_ARTIFACTS, else releases",
    example="/srv/k3s",
    doc="Directory with k3s, sha256sum-<arch>.txt and perhaps air-gap images, instead of releases.",
)
RELEASES_URL: Final = Field(
    name="releases_url", kind=forms.URL, default=_K3S.releases_url, doc="Base of release downloads, or a mirror's."
)
CHANNELS_URL: Final = Field(
    name="channels_url", kind=forms.URL, default=_K3S.channels_url, doc="Base of the channel redirects, or a mirror's."
)
TLS_SAN: Final = Field(
    name="tls_san",
    kind=ListOf(item=forms.SAN),
    default_doc="none",
    example=["k8s.home.arpa"],
    doc="Further names and addresses for the API's certificate.",
)
DISABLE: Final = Field(
    name="disable",
    kind=ListOf(item=Choice(options=("traefik", "servicelb", "metrics-server", "local-storage", "coredns"))),
    default_doc="none",
    example=["traefik"],
    doc="k3s components to leave out.",
)
CLUSTER_CIDR: Final = Field(
    name="cluster_cidr",
    kind=forms6.CIDRS,
    default_doc="k3s's 10.42.0.0/16; with network.ipv6 one of fd00::/8 too, made from the cluster's name",
    example="10.52.0.0/16",
    doc="Network of the pods; with IPv6 two, the IPv4 one first.",
)
SERVICE_CIDR: Final = Field(
    name="service_cidr",
    kind=forms6.CIDRS,
    default_doc="k3s's 10.43.0.0/16; with network.ipv6 one of fd00::/8 too, made from the cluster's name",
    example="10.53.0.0/16",
    doc="Network of the services; with IPv6 two, the IPv4 one first.",
)
K3S: Final = Field(
    name="k3s",
    kind=Section(
        doc="Which k3s, and from where.",
        fields=(VERSION, CHANNEL, ARTIFACTS, RELEASES_URL, CHANNELS_URL, TLS_SAN, DISABLE, CLUSTER_CIDR, SERVICE_CIDR),
        exclusive=("version", "channel"),
    ),
    doc="Which k3s, and from where.",
)

CPU_OVERCOMMIT: Final = Field(
    name="cpu_overcommit",
    kind=Number(minimum=1, maximum=64),
    default=_SIZING.cpu_overcommit,
    example=2,
    doc="Sum of all guests' vCPUs over the Proxmox node's cores, at the most.",
)
MEMORY_RESERVE: Final = Field(
    name="memory_reserve",
    kind=Size(minimum=0, maximum=16 * 1024 * 1024),
    default=f"{_SIZING.memory_reserve_mib}MiB",
    example="4GiB",
    doc="RAM left to each Proxmox node itself.",
)
STORAGE_RESERVE: Final = Field(
    name="storage_reserve",
    kind=Size(minimum=0, maximum=1024 * 1024, gib=True, rounds_up=True),
    default=f"{_SIZING.storage_reserve_gib}GiB",
    example="50GiB",
    doc="Space left free on each storage; rounded up to whole GiB.",
)
SIZING: Final = Field(
    name="sizing",
    kind=Section(
        doc="How far the Proxmox nodes may be filled.", fields=(CPU_OVERCOMMIT, MEMORY_RESERVE, STORAGE_RESERVE)
    ),
    doc="How far the Proxmox nodes may be filled.",
)

CLUSTER: Final = Field(
    name="cluster",
    kind=forms.CLUSTER_NAME,
    default=DEFAULT_CLUSTER,
    example="demo",
    doc="The cluster's name; machines are NAME-cp-1, NAME-workers-1, ...",
)
CLONE: Final = Field(
    name="clone",
    kind=Choice(options=tuple(CloneMode)),
    default=CloneMode.LINKED.value,
    example="full",
    doc="How VMs are made: linked where that can be, or full copies.",
)
ONBOOT: Final = Field(
    name="onboot", kind=Boolean(), default=True, example=False, doc="Whether VMs start with their Proxmox node."
)
LABELS_FROM_PROXMOX: Final = Field(
    name="labels_from_proxmox",
    kind=Boolean(),
    default=True,
    example=False,
    doc="Whether Kubernetes nodes are labelled with their Proxmox node as zone and the cluster as region.",
)
CONTROL_PLANE: Final = Field(name="control_plane", kind=CONTROL_PLANE_SECTION, doc="The k3s servers.")
WORKERS_KIND: Final = Short(section=POOL, keys=(("int", COUNT),))
WORKERS: Final = Field(
    name="workers",
    kind=WORKERS_KIND,
    default_doc="one machine, unless pools is given",
    example=3,
    doc="The pool named workers; a plain number is its count.",
)
POOLS: Final = Field(
    name="pools",
    kind=MapOf(key=forms.POOL_NAME, value=POOL),
    default_doc="none",
    example={"gpu": {"count": 1, "cores": 8}},
    doc="Further pools of k3s agents by name, each with the keys of workers.",
)
ROOT: Final = Section(
    doc="A k3s cluster on Proxmox VE, as homelab-k8s takes it.",
    fields=(
        CLUSTER,
        PROXMOX,
        TEMPLATE,
        CLONE,
        ONBOOT,
        LABELS_FROM_PROXMOX,
        NETWORK,
        SSH,
        K3S,
        CONTROL_PLANE,
        WORKERS,
        POOLS,
        SIZING,
        BACKUP,
    ),
    refusal=("the file must hold a mapping", "begin with `cluster: NAME`"),
)
