"""Tags: in a resource pool they come second, and a token that may not set ours is told so with the command."""

from __future__ import annotations

from typing import Any

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.errors import PermissionDeniedError
from bootstrap.model.access.rights import RightsNeeded
from bootstrap.model.ids import Vmid
from bootstrap.proxmox.reading.answers import answer
from bootstrap.proxmox.rights.tag_rights import forbidden_tags
from tests.adapters.proxmox.pve_lab import PVE1, VM, Lab, clone_request, token

TAGS = ("demo", "homelab-k8s")
RIGHTS = RightsNeeded(vmids=(VM,), tags=TAGS)


def set_options(lab: Lab, **options: str) -> None:
    root = lab.connect(token=token(lab.info.root_token))
    parameters = {key.replace("_", "-"): value for key, value in options.items()}
    root._api.send("put", "cluster/options", what="set options", parameters=parameters)


def told(hypervisor: ProxmoxHypervisor) -> list[tuple[str, str]]:
    return [(str(lack), lack.remedy) for lack in hypervisor.missing_privileges(RIGHTS)]


def everything(lab: Lab, *without: str) -> None:
    """All privileges but some; with Sys.Audit on `/`, so that the options are shown."""
    privileges = [name for _, names in lab.pve.acl[lab.info.token_id] for name in names if name not in without]
    lab.grant_only(("/", " ".join(privileges)))


def test_without_rules_every_tag_may_be_set(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    everything(lab)
    assert told(hypervisor) == []
    set_options(lab, user_tag_access="user-allow=list,user-allow-list=demo;homelab-k8s", registered_tags="prod")
    assert told(hypervisor) == []


@pytest.mark.parametrize(
    ("access", "command"),
    [
        ("user-allow=none", "user-allow=list,user-allow-list=demo;homelab-k8s"),
        ("user-allow=list,user-allow-list=a;demo", "user-allow=list,user-allow-list=a;demo;homelab-k8s"),
        ("user-allow=existing,user-allow-list=a", "user-allow=existing,user-allow-list=a;demo;homelab-k8s"),
    ],
)
def test_user_tag_access_is_told_with_the_line_that_widens_it(
    lab: Lab, hypervisor: ProxmoxHypervisor, access: str, command: str
) -> None:
    everything(lab)
    set_options(lab, user_tag_access=access)
    ((says, remedy),) = told(hypervisor)
    assert says.startswith("/: Sys.Modify to set the tag")
    assert says.endswith("(the datacenter's user-tag-access)")
    assert remedy == f"pvesh set /cluster/options --user-tag-access '{command}'"
    set_options(lab, user_tag_access=command)
    assert told(hypervisor) == [], "the line fixes it"


@pytest.mark.parametrize(
    ("registered", "command"),
    [
        ("homelab-k8s;prod", "pvesh set /cluster/options --registered-tags 'prod'"),
        ("homelab-k8s", "pvesh set /cluster/options --delete registered-tags"),
    ],
)
def test_a_registered_tag_is_told_with_the_line_that_frees_it(
    lab: Lab, hypervisor: ProxmoxHypervisor, registered: str, command: str
) -> None:
    everything(lab)
    set_options(lab, registered_tags=registered)
    assert told(hypervisor) == [
        ("/: Sys.Modify to set the tag homelab-k8s (the datacenter's registered-tags)", command)
    ]


def test_sys_modify_sets_any(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    everything(lab)
    lab.pve.grant(lab.info.token_id, "/", "Sys.Modify")
    set_options(lab, registered_tags="homelab-k8s")
    assert told(hypervisor) == []


def test_without_sys_audit_on_top_only_what_is_certain_is_told(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    """`GET /cluster/options` has no more than `allowed-tags` then, which in the mode `free` lists no tag to come."""
    everything(lab, "Sys.Audit")
    set_options(lab, registered_tags="homelab-k8s;template")
    assert told(hypervisor) == [], "no VM has the tag yet: the mode may be `free`, and it not registered"
    lab.pve.vm(9000).config["tags"] = "homelab-k8s"
    ((says, remedy),) = told(hypervisor)
    assert says == ("/: Sys.Modify to set the tag homelab-k8s (the datacenter's user-tag-access or registered-tags)")
    assert "pvesh get /cluster/options" in remedy


def test_options_may_be_told_as_texts() -> None:
    options = {"user-tag-access": "user-allow=list,user-allow-list=a;b", "allowed-tags": ["a"]}
    lack = forbidden_tags(
        answer({**options, "registered-tags": "b;c"}, what="ask"),
        wanted=("a", "b"),
        seen=(),
        audits=True,
    )
    assert lack is not None
    assert lack.remedy.splitlines() == [
        "pvesh set /cluster/options --registered-tags 'c'",
        "pvesh set /cluster/options --user-tag-access 'user-allow=list,user-allow-list=a;b'",
    ]


def test_a_refused_tag_says_what_to_do(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    hypervisor.clone(clone_request(), warn=lab.warnings.append)
    set_options(lab, registered_tags="homelab-k8s")
    with pytest.raises(PermissionDeniedError, match="it may not set or remove the tag homelab-k8s") as caught:
        hypervisor.configure(VM, pve_node=PVE1, settings={"tags": "demo;homelab-k8s"})
    assert "pvesh set /cluster/options --registered-tags" in caught.value.resolution


def test_a_pools_token_makes_and_tags_a_marker(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.pve.pools["kpool"] = set()
    lab.grant_only(("/pool/kpool", "VM.Allocate VM.Audit VM.Config.HWType VM.Config.Options"))
    arguments: dict[str, Any] = {"pve_nodes": (), "name": "demo-lock", "description": "held", "tags": TAGS}
    arguments["smbios_uuid"] = "8d1f3d0e-2c55-4c4c-9d0e-0a1b2c3d4e5f"
    hypervisor.markers.create(Vmid(7999), resource_pool="kpool", **arguments)
    assert lab.pve.vm(7999).config["tags"] == "demo;homelab-k8s"
    assert lab.requests("PUT", "/qemu/7999/config") == 1
