"""The Proxmox config keys a machine's VM gets. Pure text; sources in comments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bootstrap.k3s.dual_stack import ip6_setting
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.machine import MachineRecord, MachineSpec
from bootstrap.model.observed import OWNER_TAG, VmRecord
from bootstrap.proxmox.disks_and_devices import device_settings, disk_settings, scsi_controller_wanted
from bootstrap.proxmox.inherited import own_tags, taken_off
from bootstrap.proxmox.macs import wanted_mac
from bootstrap.proxmox.networks import ip_setting, resolver_settings, vlan_of
from bootstrap.proxmox.reading.configs import properties
from bootstrap.records.vms.machine import identity_of, owner_tags, render_record
from bootstrap.records.vms.notes import with_notes
from bootstrap.records.vms.seal import RecordKey
from bootstrap.records.vms.template import HASH_TAG, TEMPLATE_TAG

_COLONS_OF_A_MAC: Final = 5


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
        "ipconfig0": ip_setting(spec.network.addresses, machine.address) + ip6_setting(spec, machine.address),
        "tags": _tags(spec, machine, vm, template_tags),
        "description": with_notes(
            render_record(record, key=key, identity=identity_of(vm), into=vm.description), machine.notes
        ),
    }
    if machine.hardware.cpu_weight is not None:
        settings["cpuunits"] = machine.hardware.cpu_weight
    controller = scsi_controller_wanted(machine, scsi_controller)
    if controller is not None:
        settings["scsihw"] = controller
    settings |= disk_settings(spec, machine, vm) | device_settings(machine)
    net0 = _net0(spec, vm, machine)
    if net0 is not None:
        settings["net0"] = net0
    storage = spec.network.storage
    if storage is not None:
        # A template's own second network device, if it has one, is left out.
        options = {"bridge": storage.bridge, "mtu": storage.mtu, "tag": storage.vlan}
        settings["net1"] = _device(wanted_mac(spec, machine.name, nic=1), options)
        settings["ipconfig1"] = ip_setting(storage.addresses, machine.storage_address)
    settings |= resolver_settings(spec.network)
    delete = [key for key in taken_off(vm.settings) if key not in settings]
    return settings | ({"delete": ",".join(delete)} if delete else {})


def _tags(spec: ClusterSpec, machine: MachineSpec, vm: VmRecord, template_tags: tuple[str, ...]) -> str:
    ours = {OWNER_TAG, str(spec.name)}
    theirs = own_tags(vm.tags, template=(*template_tags, TEMPLATE_TAG, *ours))
    return owner_tags(spec.name, {*machine.tags, *(tag for tag in theirs if not tag.startswith(HASH_TAG))})


def _net0(spec: ClusterSpec, vm: VmRecord, machine: MachineSpec) -> str | None:
    """The net0 value, or None where the clone's own is right: VirtIO, on the bridge and VLAN wanted, with the MTU.

    The MAC address stays unless another one is wanted: Proxmox would make a new one where none is given. The template's
    VLAN tag is of the template's bridge, and goes with it.
    """
    own = properties(vm.net0)
    models = [key for key, value in own.items() if value.count(":") == _COLONS_OF_A_MAC]
    mac, wanted = machine.mac or vm.mac, _net0_options(spec, machine, own)
    if mac == vm.mac and models == ["virtio"] and _agree(own, wanted):
        return None
    gone = {*models, "macaddr", ""}
    kept = {key: value for key, value in own.items() if key not in gone}
    return _device(mac, {"bridge": wanted["bridge"], **kept, **wanted})


def _net0_options(spec: ClusterSpec, machine: MachineSpec, own: Mapping[str, str]) -> dict[str, str | None]:
    """What net0's options have to be; None for the ones that must not be there."""
    bridge = machine.network.bridge or spec.network.bridge or own.get("bridge", "vmbr0")
    vlan = vlan_of(spec, machine)
    own_tag = own.get("tag") if bridge == own.get("bridge") else None
    return {
        "bridge": bridge,
        "mtu": str(spec.network.mtu) if spec.network.mtu is not None else own.get("mtu"),
        "tag": str(vlan) if vlan is not None else own_tag,
        "link_down": None,  # a template may be off its network
    }


def _agree(own: Mapping[str, str], wanted: Mapping[str, str | None]) -> bool:
    return all(own.get(key) == value for key, value in wanted.items())


def _device(mac: str | None, options: Mapping[str, object]) -> str:
    """A VirtIO network device as Proxmox writes it; options that are None are left out."""
    said = (f"{key}={value}" for key, value in options.items() if value is not None)
    return ",".join([f"virtio={mac}" if mac else "virtio", *said])
