"""The inventory's `network:` section, and a pool's: how machines are connected."""

from __future__ import annotations

from bootstrap.inventory.files import Places
from bootstrap.inventory.values import address_formats as ip_forms
from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values.containers import ListOf
from bootstrap.inventory.values.scalars import Integer, choice_of
from bootstrap.inventory.values.section import Key, Section, Short, fill
from bootstrap.model.cluster import MacPolicy, NetworkSpec, StaticAddresses, StorageNetwork
from bootstrap.model.ipv6 import IPv6Method, IPv6Spec, StaticAddresses6
from bootstrap.model.machine import PoolNetwork
from bootstrap.model.settings.cni import CniSpec, CniType, FlannelBackend


class PoolNetworkKeys(Section, makes=PoolNetwork):
    """Network of the pool's machines."""

    bridge = Key(
        kind=forms.BRIDGE,
        default_doc="that of network.bridge",
        example="vmbr1",
        doc="Proxmox bridge or SDN vnet of the pool's machines; network.vlan does not apply there.",
    )
    vlan = Key(
        kind=Integer(minimum=1, maximum=4094),
        default_doc="that of network.vlan, or none if bridge is set",
        example=40,
        doc="VLAN tag of the pool's machines.",
    )


class StorageNetworkKeys(Section):
    """A second network device of all machines, net1, for storage traffic; it has no gateway."""

    bridge = Key(
        kind=forms.BRIDGE,
        example="vmbr1",
        doc="Proxmox bridge of net1.",
        required=("needs its bridge", "such as bridge: vmbr1"),
    )
    vlan = Key(kind=Integer(minimum=1, maximum=4094), default_doc="none", example=30, doc="VLAN tag.")
    mtu = Key(
        kind=Integer(minimum=1, maximum=65520),
        default_doc="Proxmox's, 1500",
        example=9000,
        doc="MTU of net1, at most the bridge's; 1 takes the bridge's.",
    )
    addresses = Key(
        kind=ip_forms.ADDRESS_RANGE,
        default_doc="DHCP",
        example="10.10.0.50-10.10.0.80",
        doc="Fixed addresses, assigned from the first upwards; needs subnet.",
    )
    subnet = Key(kind=ip_forms.NETWORK, default_doc="none", example="10.10.0.0/24", doc="The network of addresses.")

    def make(self, places: Places) -> StorageNetwork:
        """The second network."""
        static = None
        if self.addresses is not None and self.subnet is not None:
            static = StaticAddresses(first=self.addresses.first, last=self.addresses.last, subnet=self.subnet)
        return fill(StorageNetwork, self, places=places, addresses=static)


class Ipv6Keys(Section):
    """IPv6 in addition to IPv4 (dual stack)."""

    method = Key(
        kind=choice_of(IPv6Method),
        default=IPv6Method.AUTO.value,
        example="auto",
        doc="Where addresses come from: router advertisements (auto) or DHCPv6.",
    )
    subnet = Key(
        kind=ip_forms.NETWORK6,
        default_doc="any",
        example="fd12:3456:789a::/64",
        doc="The machines' IPv6 network; only addresses in it are used.",
    )
    addresses = Key(
        kind=ip_forms.ADDRESS_RANGE6,
        default_doc="none",
        example="fd12:3456:789a::50-fd12:3456:789a::80",
        doc="Fixed addresses instead, assigned by position in network.addresses. Needs subnet.",
    )
    gateway = Key(
        kind=ip_forms.ADDRESS6,
        default_doc="what routers advertise",
        example="fe80::1",
        doc="IPv6 default route, with addresses only.",
    )

    def make(self, places: Places) -> IPv6Spec:
        """The IPv6 settings."""
        static = None
        if self.addresses is not None and self.subnet is not None:
            first, last = self.addresses.first, self.addresses.last
            static = StaticAddresses6(first=first, last=last, subnet=self.subnet, gateway=self.gateway)
        return fill(IPv6Spec, self, places=places, addresses=static)


class CniKeys(Section, makes=CniSpec):
    """The CNI plugin, which gives pods their network; for new clusters."""

    type = Key(
        kind=choice_of(CniType),
        default=CniType.FLANNEL.value,
        example="cilium",
        doc="flannel (k3s's own), cilium, calico, or none for one that you install.",
    )
    backend = Key(
        kind=choice_of(FlannelBackend),
        default=FlannelBackend.VXLAN.value,
        example="wireguard-native",
        doc="flannel's backend: vxlan, host-gw (plain routes in one layer 2 network) or wireguard-native (encrypted).",
    )


class NetworkKeys(Section):
    """The machines' network."""

    bridge = Key(kind=forms.BRIDGE, default_doc="the template's", example="vmbr0", doc="Proxmox bridge of net0.")
    vlan = Key(kind=Integer(minimum=1, maximum=4094), default_doc="none", example=30, doc="VLAN tag.")
    mtu = Key(
        kind=Integer(minimum=1, maximum=65520),
        default_doc="the template's",
        example=9000,
        doc="MTU of net0, at most the bridge's; 1 takes the bridge's.",
    )
    addresses = Key(
        kind=ip_forms.ADDRESS_RANGE,
        default_doc="DHCP",
        example="192.168.1.50-192.168.1.80",
        doc="Fixed addresses, assigned from the first upwards; needs subnet.",
    )
    subnet = Key(
        kind=ip_forms.NETWORK,
        default_doc="any",
        example="192.168.1.0/24",
        doc="The machines' network; only addresses in it are used.",
    )
    gateway = Key(
        kind=ip_forms.ADDRESS, default_doc="none", example="192.168.1.1", doc="Default route, with addresses only."
    )
    dns = Key(
        kind=ListOf(item=ip_forms.ANY_ADDRESS),
        default_doc="DHCP's, else the Proxmox node's",
        example=["192.168.1.1"],
        doc="DNS servers.",
    )
    search = Key(kind=forms.DOMAIN, default_doc="none", example="home.arpa", doc="DNS search domain.")
    macs = Key(
        kind=choice_of(MacPolicy),
        default=MacPolicy.PROXMOX.value,
        example="stable",
        doc="MAC addresses of new machines: generated by Proxmox, or derived from cluster and machine name (for "
        "DHCP reservations).",
    )
    storage = Key(
        kind=StorageNetworkKeys,
        default_doc="none",
        example={"bridge": "vmbr1", "mtu": 9000, "addresses": "10.10.0.50-10.10.0.80", "subnet": "10.10.0.0/24"},
        optional=True,
    )
    ipv6 = Key(
        kind=Short(section=Ipv6Keys, keys=(("str", Ipv6Keys.method),)),
        default_doc="none: IPv4 only",
        example="auto",
        doc="IPv6 in addition to IPv4 (dual stack), for new clusters; a plain method is enough.",
        optional=True,
    )

    cni = Key(
        kind=Short(section=CniKeys, keys=(("str", CniKeys.type),)),
        default_doc="flannel with vxlan",
        example={"type": "flannel", "backend": "wireguard-native"},
        doc="The CNI plugin, for new clusters; a plain type is enough.",
    )

    def make(self, places: Places) -> NetworkSpec:
        """The network of all machines."""
        static = None
        if self.addresses is not None and self.subnet is not None:
            first, last = self.addresses.first, self.addresses.last
            static = StaticAddresses(first=first, last=last, subnet=self.subnet, gateway=self.gateway)
        return fill(NetworkSpec, self, places=places, addresses=static)
