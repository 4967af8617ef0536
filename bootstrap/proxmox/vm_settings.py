"""The Proxmox config keys a machine's VM gets. Pure text; sources in comments."""

from __future__ import annotations

from ipaddress import IPv4Address

from bootstrap.k3s.dual_stack import ip6_setting
from bootstrap.model.cluster import ClusterSpec, MacPolicy, StaticAddresses, StorageNetwork
from bootstrap.model.machine import MachineRecord, MachineSpec
from bootstrap.model.observed import OWNER_TAG, VmRecord
from bootstrap.proxmox.disks_and_devices import device_settings, disk_settings, scsi_controller_wanted
from bootstrap.proxmox.inherited import own_tags, taken_off
from bootstrap.proxmox.macs import stable_mac
from bootstrap.proxmox.networks import vlan_of
from bootstrap.records.machine import identity_of, render_record
from bootstrap.records.seal import RecordKey
from bootstrap.records.template import HASH_TAG, TEMPLATE_TAG


def vm_settings(
    spec: ClusterSpec,
    machine: MachineSpec,
    *,
    vm: VmRecord,
    record: MachineRecord,
    key: RecordKey,
    public_key: str,
    scsi_controller: str,
    template_tags: tuple[str, ...] = (),
) -> dict[str, str | int]:
    """All keys to set on a fresh clone, in one request.

    Args:
        spec: The cluster.
        machine: Its size; `cpu_type` is chosen.
        vm: The clone as it was made: its MAC address, bridge and volumes are kept, and tags and notes that users have
            given it since. What it inherited and may not have goes (`inherited.RULES`).
        record: Goes into the description.
        key: Seals it.
        public_key: `authorized_keys` line for cloud-init's user.
        scsi_controller: The template's `scsihw`; empty is Proxmox's LSI default, which is replaced.
        template_tags: The template's tags, which are not for its clones.
    """
    settings: dict[str, str | int] = {
        "sockets": 1,
        "cores": machine.cores,
        "cpu": machine.cpu_type or "kvm64",
        "memory": machine.memory_mib,
        "balloon": 0,  # Kubernetes must be able to count on its memory (kubernetes#103887)
        "agent": "enabled=1",
        "onboot": int(spec.onboot),
        "ciuser": spec.ssh.user,
        "sshkeys": public_key.strip(),
        "ciupgrade": 0,  # else first boot runs an upgrade and holds apt's lock (cloud-init#2908)
        "ipconfig0": _ipconfig(spec.network.addresses, machine.address) + ip6_setting(spec, machine.address),
        "tags": _tags(spec, vm, template_tags),
        "description": render_record(record, key=key, identity=identity_of(vm), into=vm.description),
    }
    controller = scsi_controller_wanted(machine, scsi_controller)
    if controller is not None:
        settings["scsihw"] = controller
    settings |= disk_settings(spec, machine, vm) | device_settings(machine)
    net0 = _net0(spec, vm, machine)
    if net0 is not None:
        settings["net0"] = net0
    storage = spec.network.storage
    if storage is not None:
        settings["net1"] = _net1(spec, machine, storage)
        settings["ipconfig1"] = _ipconfig(storage.addresses, machine.storage_address)
    if spec.network.dns:
        settings["nameserver"] = " ".join(str(server) for server in spec.network.dns)
    if spec.network.search:
        settings["searchdomain"] = spec.network.search
    delete = [key for key in taken_off(vm.settings) if key not in settings]
    return settings | ({"delete": ",".join(delete)} if delete else {})


def _tags(spec: ClusterSpec, vm: VmRecord, template_tags: tuple[str, ...]) -> str:
    ours = {OWNER_TAG, str(spec.name)}
    theirs = own_tags(vm.tags, template=(*template_tags, TEMPLATE_TAG, *ours))
    return ";".join(sorted(ours | {tag for tag in theirs if not tag.startswith(HASH_TAG)}))


def _ipconfig(addresses: StaticAddresses | None, address: IPv4Address | None) -> str:
    if address is None or addresses is None:
        return "ip=dhcp"
    gateway = f",gw={addresses.gateway}" if addresses.gateway else ""
    return f"ip={address}/{addresses.subnet.prefixlen}{gateway}"


def _net1(spec: ClusterSpec, machine: MachineSpec, storage: StorageNetwork) -> str:
    """The second network device; a template's own, if it has one, gives way."""
    stable = spec.network.macs is MacPolicy.STABLE
    parts = [f"virtio={stable_mac(spec.name, machine.name, nic=1)}" if stable else "virtio", f"bridge={storage.bridge}"]
    if storage.mtu is not None:
        parts.append(f"mtu={storage.mtu}")
    if storage.vlan is not None:
        parts.append(f"tag={storage.vlan}")
    return ",".join(parts)


def _net0(spec: ClusterSpec, vm: VmRecord, machine: MachineSpec) -> str | None:
    """The net0 value, or None where the clone's own is right: VirtIO, on the bridge and VLAN wanted, with the MTU.

    The MAC address stays unless another one is wanted: Proxmox would make a new one where none is given. The template's
    VLAN tag is of the template's bridge, and goes with it.
    """
    mac = machine.mac or vm.mac
    parts = [part.split("=", 1) for part in (vm.net0 or "").split(",") if "=" in part]
    options = {key: value for key, value in parts}
    models = [key for key in options if options[key].count(":") == 5]
    bridge = machine.network.bridge or spec.network.bridge or options.get("bridge", "vmbr0")
    replaced = (*models, "bridge", "tag", "mtu", "macaddr", "link_down")  # a template may be off its network
    kept = {key: value for key, value in options.items() if key not in replaced}
    model = f"virtio={mac}" if mac else "virtio"
    wanted = {"bridge": bridge, **kept}
    vlan = vlan_of(spec, machine)
    own_tag = options.get("tag") if bridge == options.get("bridge") else None
    tag = str(vlan) if vlan is not None else own_tag
    mtu = str(spec.network.mtu) if spec.network.mtu is not None else options.get("mtu")
    wanted |= {key: value for key, value in (("mtu", mtu), ("tag", tag)) if value is not None}
    right = {"bridge": bridge, "tag": tag, "mtu": mtu, "link_down": None}
    if mac == vm.mac and models == ["virtio"] and all(options.get(key) == value for key, value in right.items()):
        return None
    return ",".join([model, *(f"{key}={value}" for key, value in wanted.items())])
