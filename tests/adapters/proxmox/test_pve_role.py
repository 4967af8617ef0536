"""The printed role is enough, and no right in it is too much."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from bootstrap.adapters.proxmox.role import role_commands
from bootstrap.model.ids import ClusterName, StorageName
from bootstrap.ports import BuildRights, RightsNeeded
from tests.adapters.proxmox.pve_lab import VMIDS, Lab


def granted(commands: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Paths and privileges that the commands give."""
    text = "\n".join(commands)
    paths = tuple(re.findall(r"^pveum acl modify (\S+) --users \S+ --roles homelab-k8s$", text, re.MULTILINE))
    role = re.search(r'^pveum role add homelab-k8s --privs "(.*)"$', text, re.MULTILINE)
    assert role is not None
    return paths, tuple(role[1].split())


@pytest.mark.parametrize("version", [8, 9])
def test_what_the_commands_grant_is_enough_and_each_right_is_needed(
    start_lab: Callable[..., Lab], version: int
) -> None:
    lab = start_lab(pve_version=version)
    hypervisor = lab.connect()
    paths, privileges = granted(role_commands(major=version, user="homelab@pve", token="k8s"))
    templates = hypervisor.observe(cluster=ClusterName("demo"), vmids=VMIDS).templates
    assert templates
    local = StorageName("local")
    builds = BuildRights(disks=(local,), files=(local,), bridges=("vmbr0",), downloads_on=(templates[0].pve_node,))
    rights = RightsNeeded(templates=templates, storages=(StorageName("fast"),), bridges=("vmbr0",), builds=builds)

    def missing() -> tuple[str, ...]:
        return tuple(map(str, hypervisor.missing_privileges(rights)))

    lab.grant_only(*((path, " ".join(privileges)) for path in paths))
    assert missing() == ()
    seen = hypervisor.observe(cluster=ClusterName("demo"), vmids=VMIDS)
    assert seen.templates == templates
    assert all(facts.bridges and facts.storages and facts.memory_mib for facts in seen.pve_nodes)
    for name in privileges:
        rest = " ".join(each for each in privileges if each != name)
        lab.grant_only(*((path, rest) for path in paths))
        assert any(name in lack for lack in missing()), name
    for path in paths:
        lab.grant_only(*((each, " ".join(privileges)) for each in paths if each != path))
        assert missing(), path


def test_proxmox_ve_9_has_no_vm_monitor_and_8_no_guest_agent_rights() -> None:
    for major, there, gone in ((8, "VM.Monitor", "VM.GuestAgent"), (9, "VM.GuestAgent.FileRead", "VM.Monitor")):
        text = "\n".join(role_commands(major=major, user="ops@pam", token="t"))
        assert there in text
        assert gone not in text
        assert text.endswith("pveum user token add ops@pam t --privsep 0")
