"""The cloud-init NoCloud seed of a VM, in the form Proxmox VE generates it. Pure: config in, texts out.

Form and order follow what `GET /nodes/N/qemu/ID/cloudinit/dump` of a Proxmox VE 8.4 answered, and
`PVE/QemuServer/Cloudinit.pm` for the network part, which the recording does not show.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from ipaddress import IPv4Interface, IPv6Network
from typing import Any, Final
from urllib.parse import unquote

from bootstrap.lab.guests.base import NoCloudSeed

ADVERTISED: Final = IPv6Network("fd00:1ab:0:1::/64")
"""The prefix of the lab's network; unique local, and routed nowhere."""


def render_seed(vmid: int, config: Mapping[str, Any], *, host_nameservers: tuple[str, ...] = ()) -> NoCloudSeed:
    """All three files of the seed.

    Args:
        vmid: VM id; names a VM without a name.
        config: The VM's config as the API shows it, except that `cipassword` is not masked.
        host_nameservers: Used where the config has no `nameserver`, as Proxmox uses its own node's.
    """
    user = render_user_data(vmid, config)
    network = render_network_config(config, host_nameservers=host_nameservers)
    instance = hashlib.sha1((user + network).encode(), usedforsecurity=False).hexdigest()
    return NoCloudSeed(meta_data=f"instance-id: {instance}\n", user_data=user, network_config=network)


def with_advertised(vmid: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """A config with fixed addresses instead of SLAAC and DHCPv6.

    The lab's network has neither a router nor a DHCPv6 server: guests get the address that SLAAC makes from the prefix
    `ADVERTISED` and the MAC address.
    """
    changed = dict(config)
    for key in config:
        index = key.removeprefix("ipconfig")
        if index == key or f"net{index}" not in config:
            continue
        mac = str(config[f"net{index}"]).split(",")[0].partition("=")[2]
        for word, address in (("auto", ADVERTISED[_interface_id(mac)]), ("dhcp", ADVERTISED[vmid])):
            changed[key] = re.sub(rf"\bip6={word}\b", f"ip6={address}/64", str(changed[key]))
    return changed


def _interface_id(mac: str) -> int:
    """The lower 64 bits that SLAAC makes from a MAC address (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return int.from_bytes(bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]]), "big")


def render_user_data(vmid: int, config: Mapping[str, Any]) -> str:
    """The `#cloud-config` user data."""
    name = str(config.get("name") or f"VM{vmid}")
    hostname, fqdn = name.split(".")[0], _fqdn(name, config)
    lines = ["#cloud-config", f"hostname: {hostname}", "manage_etc_hosts: true", f"fqdn: {fqdn}"]
    if config.get("ciuser"):
        lines.append(f"user: {config['ciuser']}")
    if config.get("cipassword"):
        lines.append(f"password: {config['cipassword']}")
    keys = [key for key in unquote(str(config.get("sshkeys", ""))).splitlines() if key.strip()]
    if keys:
        lines += ["ssh_authorized_keys:", *(f"  - {key}" for key in keys)]
    lines += ["chpasswd:", "  expire: False"]
    if config.get("ciuser") != "root":
        lines += ["users:", "  - default"]
    if str(config.get("ciupgrade", 1)) != "0":
        lines.append("package_upgrade: true")
    return "\n".join(lines) + "\n"


def _fqdn(name: str, config: Mapping[str, Any]) -> str:
    domain = str(config.get("searchdomain", "")).split(" ")[0]
    return name if "." in name or not domain else f"{name}.{domain}"


def render_network_config(config: Mapping[str, Any], *, host_nameservers: tuple[str, ...] = ()) -> str:
    """The network config, version 1, each interface named by its MAC address.

    An interface without `ipconfigN` gets DHCP for IPv4, as Proxmox documents.
    """
    lines = ["version: 1", "config:"]
    for key in sorted((key for key in config if re.fullmatch(r"net\d+", key)), key=lambda key: int(key[3:])):
        lines += _interface(int(key[3:]), str(config[key]), str(config.get(f"ipconfig{key[3:]}") or "ip=dhcp"))
    servers = tuple(str(config.get("nameserver", "")).split()) or host_nameservers
    lines += _resolver(servers, tuple(str(config.get("searchdomain", "")).split()))
    return "\n".join(lines) + "\n"


def _resolver(servers: tuple[str, ...], domains: tuple[str, ...]) -> list[str]:
    if not servers and not domains:
        return []
    address = ["      address:", *(f"      - '{server}'" for server in servers)] if servers else []
    search = ["      search:", *(f"      - '{domain}'" for domain in domains)] if domains else []
    return ["    - type: nameserver", *address, *search]


def _interface(index: int, net: str, ipconfig: str) -> list[str]:
    mac = net.split(",")[0].partition("=")[2].lower()
    lines = ["    - type: physical", f"      name: eth{index}", f"      mac_address: '{mac}'", "      subnets:"]
    options = dict(part.partition("=")[::2] for part in ipconfig.split(","))
    return lines + _subnet4(options) + _subnet6(options)


def _subnet4(options: Mapping[str, str]) -> list[str]:
    address = options.get("ip")
    if address is None:
        return []
    if address == "dhcp":
        return ["      - type: dhcp4"]
    interface = IPv4Interface(address)
    lines = ["      - type: static", f"        address: '{interface.ip}'", f"        netmask: '{interface.netmask}'"]
    return [*lines, f"        gateway: '{options['gw']}'"] if "gw" in options else lines


def _subnet6(options: Mapping[str, str]) -> list[str]:
    address = options.get("ip6")
    if address is None:
        return []
    if address in ("dhcp", "auto"):
        return ["      - type: dhcp6" if address == "dhcp" else "      - type: ipv6_slaac"]
    lines = ["      - type: static6", f"        address: '{address}'"]
    return [*lines, f"        gateway: '{options['gw6']}'"] if "gw6" in options else lines
