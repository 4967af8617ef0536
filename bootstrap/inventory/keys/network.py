"""The inventory's `network:` section: how machines are connected."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from bootstrap.inventory.values import ipv6_formats as forms6
from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values.containers import Field, ListOf, Section, Short
from bootstrap.inventory.values.scalars import Choice, Integer
from bootstrap.model.cluster import MacPolicy
from bootstrap.model.ipv6 import IPv6Method

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
DNS: Final[Field[tuple[IPv4Address | IPv6Address, ...]]] = Field(
    name="dns",
    kind=ListOf(item=forms6.ANY_ADDRESS),
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
MTU: Final = Field(
    name="mtu",
    kind=Integer(minimum=1, maximum=65520),
    default_doc="the template's",
    example=9000,
    doc="MTU of net0, at most the bridge's; 1 takes the bridge's.",
)
POOL_BRIDGE: Final = Field(
    name="bridge",
    kind=forms.BRIDGE,
    default_doc="that of network.bridge",
    example="vmbr1",
    doc="Proxmox bridge or SDN vnet of the pool's machines; network.vlan does not count there.",
)
POOL_VLAN: Final = Field(
    name="vlan",
    kind=Integer(minimum=1, maximum=4094),
    default_doc="that of network.vlan, or none where bridge is given",
    example=40,
    doc="VLAN tag of the pool's machines.",
)
POOL_NETWORK: Final = Field(
    name="network",
    kind=Section(doc="Where the pool's machines are connected.", fields=(POOL_BRIDGE, POOL_VLAN)),
    default_doc="that of all machines",
    example={"bridge": "vmbr1", "vlan": 40},
    doc="Where the pool's machines are connected, if not where all are; all machines must reach each other.",
)
STORAGE_BRIDGE: Final = Field(name="bridge", kind=forms.BRIDGE, example="vmbr1", doc="Proxmox bridge of net1.")
STORAGE_MTU: Final = Field(
    name="mtu",
    kind=Integer(minimum=1, maximum=65520),
    default_doc="Proxmox's, 1500",
    example=9000,
    doc="MTU of net1, at most the bridge's; 1 takes the bridge's.",
)
STORAGE_ADDRESSES: Final = Field(
    name="addresses",
    kind=forms.ADDRESS_RANGE,
    default_doc="DHCP",
    example="10.10.0.50-10.10.0.80",
    doc="Fixed addresses, handed out from the first upwards; needs subnet.",
)
STORAGE_SUBNET: Final = Field(
    name="subnet", kind=forms.NETWORK, default_doc="none", example="10.10.0.0/24", doc="The network of addresses."
)
STORAGE_NETWORK: Final = Field(
    name="storage",
    kind=Section(
        doc="A second network device of all machines, net1, for storage's traffic; it has no gateway.",
        fields=(STORAGE_BRIDGE, VLAN, STORAGE_MTU, STORAGE_ADDRESSES, STORAGE_SUBNET),
    ),
    default_doc="none",
    example={"bridge": "vmbr1", "mtu": 9000, "addresses": "10.10.0.50-10.10.0.80", "subnet": "10.10.0.0/24"},
    doc="A second network device of all machines, net1, for storage's traffic; it has no gateway.",
)
IPV6_METHOD: Final = Field(
    name="method",
    kind=Choice(options=tuple(IPv6Method)),
    default=IPv6Method.AUTO.value,
    example="auto",
    doc="Where addresses come from: router advertisements (auto) or DHCPv6.",
)
IPV6_SUBNET: Final = Field(
    name="subnet",
    kind=forms6.NETWORK6,
    default_doc="any",
    example="fd12:3456:789a::/64",
    doc="The IPv6 network the machines are in; only addresses in it count as theirs.",
)
IPV6_ADDRESSES: Final = Field(
    name="addresses",
    kind=forms6.ADDRESS_RANGE6,
    default_doc="none",
    example="fd12:3456:789a::50-fd12:3456:789a::80",
    doc="Fixed addresses instead; a machine has the one at its place in network.addresses. Needs subnet.",
)
IPV6_GATEWAY: Final = Field(
    name="gateway",
    kind=forms6.ADDRESS6,
    default_doc="what routers advertise",
    example="fe80::1",
    doc="IPv6 default route, with addresses only.",
)
IPV6: Final = Field(
    name="ipv6",
    kind=Short(
        section=Section(
            doc="IPv6 besides IPv4 (dual stack).", fields=(IPV6_METHOD, IPV6_SUBNET, IPV6_ADDRESSES, IPV6_GATEWAY)
        ),
        keys=(("str", IPV6_METHOD),),
    ),
    default_doc="none: IPv4 alone",
    example="auto",
    doc="IPv6 besides IPv4 (dual stack), for clusters made from now on; a plain method will do.",
)
NETWORK: Final = Field(
    name="network",
    kind=Section(
        doc="How machines are connected.",
        fields=(BRIDGE, VLAN, MTU, ADDRESSES, SUBNET, GATEWAY, DNS, SEARCH, MACS, STORAGE_NETWORK, IPV6),
    ),
    doc="How machines are connected.",
)
