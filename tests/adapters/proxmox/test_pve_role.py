"""The printed role is enough, and no right in it is too much."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from bootstrap.model.access.rights import BuildRights, RightsNeeded
from bootstrap.model.ids import ClusterName, StorageName, Vmid
from bootstrap.proxmox.rights.role import Narrow, role_commands
from tests.adapters.proxmox.pve_lab import PVE1, VMIDS, Lab


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


@pytest.mark.parametrize("minor", [0, 1])
def test_proxmox_ve_before_8_2_does_not_know_sys_access_network(minor: int) -> None:
    """`pveum role add` refuses a role with a privilege that it does not know, whole."""
    assert "Sys.AccessNetwork" not in "\n".join(role_commands(major=8, minor=minor, user="ops@pam", token="t"))
    assert "Sys.AccessNetwork" in "\n".join(role_commands(major=8, minor=2, user="ops@pam", token="t"))
    assert "Sys.AccessNetwork" in "\n".join(role_commands(major=8, user="ops@pam", token="t"))


def test_root_is_neither_added_nor_given_acls() -> None:
    commands = role_commands(major=9, user="root@pam", token="k8s")
    assert not any(command.startswith("pveum user add") or "--users root@pam" in command for command in commands)
    token = commands.index("pveum user token add root@pam k8s --privsep 1")
    acls = [place for place, command in enumerate(commands) if command.startswith("pveum acl modify")]
    assert acls
    assert min(acls) > token, "an ACL names a token that is there"
    assert all("--tokens 'root@pam!k8s'" in commands[place] for place in acls)


def acls(commands: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Each path with the privileges that it gets."""
    text = "\n".join(commands)
    roles = dict(re.findall(r'^pveum role add (\S+) --privs "(.*)"$', text, re.MULTILINE))
    found = re.findall(r"^pveum acl modify (\S+) --users \S+ --roles (\S+)$", text, re.MULTILINE)
    return tuple((path, roles[role]) for path, role in found)


def test_the_narrow_role_makes_a_cluster_in_its_pool_and_touches_nothing_else(start_lab: Callable[..., Lab]) -> None:
    lab = start_lab()
    lab.pve.pools["kpool"] = set()
    narrow = Narrow(pool="kpool", storages=("local",), bridge="vmbr0", template=Vmid(9000))
    commands = role_commands(major=9, user="homelab@pve", token="k8s", narrow=narrow)
    assert "pveum pool add kpool" in commands
    lab.grant_only(*acls(commands))
    hypervisor = lab.connect()
    templates = hypervisor.observe(cluster=ClusterName("demo"), vmids=VMIDS).templates
    rights = RightsNeeded(
        templates=templates, bridges=("vmbr0",), resource_pool="kpool", vmids=(Vmid(7001), Vmid(7999)), tags=("demo",)
    )
    assert hypervisor.missing_privileges(rights) == ()
    paths = dict(acls(commands))
    assert set(paths) == {
        "/pool/kpool", "/storage/local", "/sdn/zones/localnetwork/vmbr0", "/nodes", "/vms/9000"
    }  # fmt: skip
    assert paths["/vms/9000"] == "VM.Audit VM.Clone", "the template is neither changed nor removed"
    assert "VM.Clone" not in paths["/pool/kpool"]


def test_the_narrow_role_builds_templates_in_its_pool_where_none_is_named(start_lab: Callable[..., Lab]) -> None:
    lab = start_lab()
    lab.pve.pools["kpool"] = set()
    lab.grant_only(*acls(role_commands(major=9, user="homelab@pve", token="k8s", narrow=Narrow(pool="kpool"))))
    builds = BuildRights(
        disks=(StorageName("local"),), files=(StorageName("local"),), bridges=("vmbr0",), downloads_on=(PVE1,)
    )
    rights = RightsNeeded(resource_pool="kpool", vmids=(Vmid(7001), Vmid(7999)), builds=builds)
    assert lab.connect().missing_privileges(rights) == ()
