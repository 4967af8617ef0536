"""The inventory's `network:` section: how machines are connected."""

from __future__ import annotations

from typing import Final

from bootstrap.inventory import forms
from bootstrap.inventory.kinds import Choice, Integer
from bootstrap.inventory.shapes import Field, ListOf, Section
from bootstrap.model.cluster import MacPolicy

BRIDGE: Final = Field(
    name="bridge", kind=forms.BRIDGE, default_doc="the template's", example="vmbr0", doc="Proxmox bridge of net0."
)
VLAN: Final = Field(name="vlan", kind=Integer(minimum=1, maximum=4094), default_doc="none", example=30, doc="VLAN tag.")
ADDRESSES: Final = Field(
    name="addresses",
    kind=forms.ADDRESS_RANGE,
    default_doc="DHCP",
    example="192.168.1.50-192.168.1.80",
    doc="Fixed addresses, handed out from the first upwards; needs subnet.",
)
SUBNET: Final = Field(
    name="subnet",
    kind=forms.NETWORK,
    default_doc="any",
    example="192.168.1.0/24",
    doc="The network the machines are in; only addresses in it count as theirs.",
)
GATEWAY: Final = Field(
    name="gateway",
    kind=forms.ADDRESS,
    default_doc="none",
    example="192.168.1.1",
    doc="Default route, with addresses only.",
)
DNS: Final = Field(
    name="dns",
    kind=ListOf(item=forms.ADDRESS),
    default_doc="DHCP's, else the Proxmox node's",
    example=["192.168.1.1"],
    doc="DNS servers.",
)
SEARCH: Final = Field(
    name="search", kind=forms.DOMAIN, default_doc="none", example="home.arpa", doc="DNS search domain."
)
MACS: Final = Field(
    name="macs",
    kind=Choice(options=tuple(MacPolicy)),
    default=MacPolicy.PROXMOX.value,
    example="stable",
    doc="MAC addresses of new machines: made up by Proxmox, or from cluster and machine name, for DHCP reservations.",
)
NETWORK: Final = Field(
    name="network",
    kind=Section(
        doc="How machines are connected.", fields=(BRIDGE, VLAN, ADDRESSES, SUBNET, GATEWAY, DNS, SEARCH, MACS)
    ),
    doc="How machines are connected.",
)
