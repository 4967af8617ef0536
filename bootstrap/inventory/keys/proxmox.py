"""The inventory's `proxmox:` section: the Proxmox VE API, and where machines go."""

from __future__ import annotations

from bootstrap.inventory.files import Places
from bootstrap.inventory.secret_keys import SecretKeys
from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values.containers import ListOf
from bootstrap.inventory.values.scalars import Boolean, Integer
from bootstrap.inventory.values.section import Key, Section, Short, fill
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.cluster import PlacementSpec


class TokenKeys(SecretKeys):
    """Where the API token comes from: `user@realm!name=secret`, or only the secret if token_id is given."""

    env = Key(kind=forms.ENV_NAME, example="PROXMOX_VE_API_TOKEN", doc="Environment variable.")
    file = Key(kind=forms.FILE, example="~/.config/homelab-k8s/token", doc="File that contains only the token.")
    keyring = Key(
        kind=forms.KEYRING_NAME,
        example="homelab-k8s/automation@pve!homelab",
        doc="service/user in the system's keyring.",
    )


class TlsKeys(Section, makes=TlsSpec, exclusive=("fingerprint", "ca_file", "insecure")):
    """How the API's certificate is verified; one of the three, or none for the system's CAs."""

    fingerprint = Key(
        kind=forms.FINGERPRINT,
        example=":".join(["AB"] * 32),
        doc="SHA-256 fingerprint of the certificate, as Proxmox shows it; any other certificate is refused.",
    )
    ca_file = Key(
        kind=forms.FILE, example="pve-root-ca.pem", doc="PEM file, such as a copy of /etc/pve/pve-root-ca.pem."
    )
    insecure = Key(kind=Boolean(), default=False, doc="Do not check the certificate; every run warns.")


class PveNodeKeys(Section):
    """A Proxmox node for machines; a plain word is its name."""

    name = Key(
        kind=forms.PVE_NODE_NAME,
        example="pve1",
        doc="Name of the Proxmox node.",
        required=("needs its name", "such as {name: pve1, weight: 2}"),
    )
    weight = Key(
        kind=Integer(minimum=1, maximum=100),
        default=1,
        example=2,
        doc="Weight of its free memory when machines are spread.",
    )
    maintenance = Key(
        kind=Boolean(),
        default=False,
        example=True,
        doc="Place no new machines there; existing machines stay.",
    )


class ProxmoxKeys(Section):
    """The Proxmox VE API, and where machines are placed."""

    endpoint = Key(
        kind=forms.ENDPOINT,
        default_doc="PROXMOX_VE_ENDPOINT",
        example="https://192.168.1.10:8006",
        doc="URL of the Proxmox VE API; default port: 8006.",
        fills="url",
    )
    token_id = Key(
        kind=forms.TOKEN_ID,
        default_doc="comes with the token",
        example="automation@pve!homelab",
        doc="Id of the API token, without the secret.",
    )
    token = Key(kind=TokenKeys, default_doc="PROXMOX_VE_API_TOKEN")
    tls = Key(kind=TlsKeys, default_doc="PROXMOX_VE_FINGERPRINT or PROXMOX_VE_INSECURE, else the system's CAs")
    nodes = Key(
        kind=ListOf(
            item=Short(section=PveNodeKeys, keys=(("str", PveNodeKeys.name),)), same=lambda node: node.name, what="name"
        ),
        default_doc="all that are online",
        example=["pve1", {"name": "pve2", "weight": 2}],
        doc="Proxmox nodes that machines may run on, by name or with a weight.",
    )
    storage = Key(
        kind=forms.STORAGE_NAME,
        default_doc="the template's",
        example="local-lvm",
        doc="Storage for full clones and new disks.",
    )
    pool = Key(
        kind=forms.POOL_ID,
        default_doc="none",
        example="k8s",
        doc="Proxmox resource pool of the VMs.",
        fills="resource_pool",
    )
    vmids = Key(
        kind=forms.VMID_RANGE,
        default="7000-7999",
        example="8100-8199",
        doc="VMID range reserved for the cluster, inclusive.",
    )

    def make(self, places: Places) -> PlacementSpec:
        """Where machines go."""
        nodes = [(node.sure(PveNodeKeys.name), node) for node in self.nodes or ()]
        return fill(
            PlacementSpec,
            self,
            places=places,
            pve_nodes=tuple(name for name, node in nodes if not node.maintenance),
            weights=tuple((name, node.weight) for name, node in nodes if node.weight != 1),
            maintenance=tuple(name for name, node in nodes if node.maintenance),
        )

    def make_endpoint(self, token: ApiToken, places: Places) -> PveEndpoint:
        """How the API is reached."""
        return fill(PveEndpoint, self, places=places, token=token)
