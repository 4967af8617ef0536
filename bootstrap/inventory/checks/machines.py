"""Checks that a pool's values fit the kind of its machines: VMs or containers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bootstrap.inventory.keys.pools import ControlPlaneKeys, PoolKeys
from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.problems import Problems
from bootstrap.inventory.values.section import Key, Section
from bootstrap.inventory.values.system_formats import BY_KUBERNETES
from bootstrap.model.machine import MachineKind

_VMS_ONLY: Final[tuple[tuple[Key[Any], str], ...]] = (
    (PoolKeys.cpu, "a container sees its Proxmox node's own CPU"),
    (PoolKeys.disk_options, "a container has no virtual disk to set them on"),
    (PoolKeys.data_disk, "Proxmox formats and mounts what it gives to a container, it has no raw disks"),
    (PoolKeys.devices, "only root@pam may pass devices through to a container, no API token"),
    (PoolKeys.sysctls, "a container has its Proxmox node's kernel, so set them there"),
    (PoolKeys.kernel_modules, "a container cannot load modules, so load them on its Proxmox node (docs/lxc.md)"),
)


def check_machines(root: Root, problems: Problems) -> None:
    """Add problems for impossible servers, and for keys that a pool's kind of machine cannot have."""
    if root.control_plane is not None:
        _check_servers(root, root.control_plane, problems)
    for pool in root.all_pools:
        _check_vm(pool, problems)
    for section, names in ((root, root.sysctls), *((pool, pool.sysctls) for pool in root.all_pools)):
        _check_sysctls(section, dict(names or ()), problems)
    for _name, pool in root.worker_pools or ():
        if pool.machine is MachineKind.LXC:
            _check_container(pool, problems)


def _check_sysctls(section: Section, sysctls: Mapping[str, str], problems: Problems) -> None:
    key = Root.sysctls if isinstance(section, Root) else PoolKeys.sysctls
    for name, value in sysctls.items():
        fixed = BY_KUBERNETES.get(name)
        if fixed is not None and value != fixed:
            problems.add(section.at(key), f"{name}: k3s sets it to {fixed} at each start", "remove it")


def _check_servers(root: Root, servers: ControlPlaneKeys, problems: Problems) -> None:
    if servers.machine is MachineKind.LXC:
        message = "servers are always VMs: etcd and the API need their own kernel"
        problems.add(servers.at(PoolKeys.machine), message, "machine: lxc is for pools of workers")
    if servers.schedulable is False and root.machine_count == servers.count:
        message = "without workers, pods have no machine that takes them"
        problems.add(servers.at(ControlPlaneKeys.schedulable), message, "take it out, or add workers")


def _check_vm(pool: PoolKeys, problems: Problems) -> None:
    if pool.machine is MachineKind.VM and pool.given(PoolKeys.ostemplate):
        where = pool.at(PoolKeys.ostemplate)
        problems.add(where, "has no effect on VMs, which are cloned from `template`", "add machine: lxc")


def _check_container(pool: PoolKeys, problems: Problems) -> None:
    for key, why in _VMS_ONLY:
        if pool.given(key):
            problems.add(pool.at(key), f"does not go with machine: lxc: {why}", "remove it, or use machine: vm")
