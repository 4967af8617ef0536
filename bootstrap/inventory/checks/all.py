"""All checks that concern several values, and the files that they name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bootstrap.inventory.checks.addons import check_addons
from bootstrap.inventory.checks.cni import check_cni
from bootstrap.inventory.checks.environment import check_environment
from bootstrap.inventory.checks.files import check_system_files
from bootstrap.inventory.checks.gitops import check_gitops
from bootstrap.inventory.checks.ipv6 import check_ipv6
from bootstrap.inventory.checks.machines import check_machines
from bootstrap.inventory.checks.network import (
    check_addresses,
    check_gateway,
    check_networks_apart,
    check_pool_networks,
    check_storage_network,
    check_vip,
)
from bootstrap.inventory.checks.registries import check_registries
from bootstrap.inventory.files import Places, check_ca_file, check_directory, check_private_key
from bootstrap.inventory.keys.k3s import K3sKeys
from bootstrap.inventory.keys.proxmox import ProxmoxKeys, TlsKeys
from bootstrap.inventory.keys.root import Root, SshKeys
from bootstrap.inventory.keys.template import TemplateKeys
from bootstrap.inventory.problems import Problems
from bootstrap.inventory.values.scalars import RefusedError
from bootstrap.inventory.values.section import Key, Section
from bootstrap.model.cluster import BuildPolicy
from bootstrap.model.words import count


def check(root: Root, places: Places, problems: Problems) -> None:
    """Add a problem for every contradiction; values that are wrong by themselves are not checked."""
    for each in _CHECKS:
        each(root, problems)
    _check_files(root, places, problems)
    check_registries(root, places, problems)
    check_addons(root, places, problems)
    check_gitops(root, places, problems)
    check_system_files(root, places, problems)
    check_environment(root, places, problems)


def _check_pve_nodes(root: Root, problems: Problems) -> None:
    proxmox = root.proxmox
    if proxmox is not None and proxmox.nodes and all(node.maintenance for node in proxmox.nodes):
        hint = "also list the Proxmox nodes that machines may go to"
        problems.add(proxmox.at(ProxmoxKeys.nodes), "all of them are in maintenance", hint)


def _check_vmids(root: Root, problems: Problems) -> None:
    proxmox, wanted = root.proxmox, root.machine_count
    vmids = proxmox.vmids if proxmox is not None else None
    if proxmox is None or vmids is None or wanted is None:
        return
    size = vmids.last - vmids.first + 1
    if size < wanted:
        message = f"{count(size, 'vmid')} for {count(wanted, 'machine')}"
        problems.add(proxmox.at(ProxmoxKeys.vmids), message, "widen the range")


def _check_template(root: Root, problems: Problems) -> None:
    template = root.template
    if template is None or template.given(TemplateKeys.image):
        return
    if template.given(TemplateKeys.checksum):
        problems.add(template.at(TemplateKeys.checksum), "is for an image, and none is set", "set image, too")
    if template.is_named and template.given(TemplateKeys.build) and template.build is BuildPolicy.AUTO:
        problems.add(
            template.at(TemplateKeys.build),
            "an existing template cannot be built",
            "name an image instead, such as image: debian-13",
        )


def _check_k3s_source(root: Root, problems: Problems) -> None:
    k3s = root.k3s
    if k3s is None or not (k3s.given(K3sKeys.artifacts) and k3s.given(K3sKeys.channel)):
        return
    # From the environment, artifacts are this machine's way to get k3s; in the file both are a contradiction.
    if k3s.at(K3sKeys.artifacts).line is not None:
        hint = "keep one of channel and artifacts"
        problems.add(k3s.at(K3sKeys.channel), "a channel has no effect on artifacts", hint)


def _check_jump(root: Root, problems: Problems) -> None:
    ssh = root.ssh
    if ssh is not None and ssh.given(SshKeys.jump_host_key) and not ssh.given(SshKeys.jump):
        hint = "set ssh.jump, too; hosts of a ProxyJump are checked with your known_hosts"
        problems.add(ssh.at(SshKeys.jump_host_key), "is the key of a jump host, and none is set", hint)


_CHECKS: tuple[Callable[[Root, Problems], None], ...] = (
    check_addresses,
    check_gateway,
    check_vip,
    check_pool_networks,
    check_machines,
    _check_pve_nodes,
    check_storage_network,
    check_ipv6,
    check_cni,
    check_networks_apart,
    _check_vmids,
    _check_template,
    _check_k3s_source,
    _check_jump,
)


def _check_files(root: Root, places: Places, problems: Problems) -> None:
    tls = root.proxmox.tls if root.proxmox is not None else None
    named: tuple[tuple[Section | None, Key[Path], Callable[[Path], None]], ...] = (
        (tls, TlsKeys.ca_file, check_ca_file),
        (root.ssh, SshKeys.private_key, check_private_key),
        (root.k3s, K3sKeys.artifacts, check_directory),
    )
    for section, key, check_file in named:
        path = section.value(key) if section is not None else None
        if section is None or path is None:
            continue
        try:
            check_file(places.resolve(path))
        except RefusedError as refused:
            problems.add(section.at(key), refused.message, refused.hint)
