"""The parameters a machine's container is created with. Pure text; sources in comments."""

from __future__ import annotations

from bootstrap.k3s.dual_stack import ip6_setting
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import StorageName
from bootstrap.model.machine import MachineSpec
from bootstrap.proxmox.macs import wanted_mac
from bootstrap.proxmox.networks import ip_setting, resolver_settings, vlan_of
from bootstrap.records.vms.machine import owner_tags

_SMALLEST_MTU = 64
"""Of a container's network device; 1, a VM's word for the bridge's own, is what it has anyway (pct.conf)."""


def container_settings(
    spec: ClusterSpec, machine: MachineSpec, *, ostemplate: str, storage: StorageName, bridge: str, public_key: str
) -> dict[str, str | int]:
    """All parameters but vmid, name, description and resource pool.

    Args:
        spec: The cluster.
        machine: Its size.
        ostemplate: Volume it is made of.
        storage: Where its root file system goes.
        bridge: The bridge net0 is on.
        public_key: `authorized_keys` line for root.
    """
    settings: dict[str, str | int] = {
        "ostemplate": ostemplate,
        "rootfs": f"{storage}:{machine.disk_gib}",  # GiB, of a volume that is yet to be made
        "cores": machine.cores,
        "memory": machine.memory_mib,
        "swap": 0,
        "unprivileged": 1,
        # All that a token may set (PVE::LXC: check_ct_modify_config_perm); containers in it need it.
        "features": "nesting=1",
        "onboot": int(spec.onboot),
        "ssh-public-keys": public_key.strip(),
        "tags": owner_tags(spec.name, machine.tags),
        "net0": _net(
            "eth0",
            bridge=bridge,
            mac=machine.mac,
            vlan=vlan_of(spec, machine),
            mtu=spec.network.mtu,
            ip=ip_setting(spec.network.addresses, machine.address) + ip6_setting(spec, machine.address),
        ),
    }
    if machine.hardware.cpu_weight is not None:
        settings["cpuunits"] = machine.hardware.cpu_weight
    storage_network = spec.network.storage
    if storage_network is not None:
        settings["net1"] = _net(
            "eth1",
            bridge=storage_network.bridge,
            mac=wanted_mac(spec, machine.name, nic=1),
            vlan=storage_network.vlan,
            mtu=storage_network.mtu,
            ip=ip_setting(storage_network.addresses, machine.storage_address),
        )
    return settings | resolver_settings(spec.network)


def _net(name: str, *, bridge: str, mac: str | None, vlan: int | None, mtu: int | None, ip: str) -> str:
    parts = [f"name={name}", f"bridge={bridge}"]
    if mac is not None:
        parts.append(f"hwaddr={mac}")
    parts.append(ip)
    if mtu is not None and mtu >= _SMALLEST_MTU:
        parts.append(f"mtu={mtu}")
    if vlan is not None:
        parts.append(f"tag={vlan}")
    return ",".join(parts)
