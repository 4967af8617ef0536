"""What the token lacks, before anything fails for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.model.access.rights import BuildRights, RightsNeeded
from bootstrap.model.ids import ClusterName, StorageName, Vmid
from bootstrap.model.observed import PveVersion
from bootstrap.planning.checks.security import ADMINISTRATORS
from bootstrap.proxmox.rights.grants import Need, Refusal, grant_remedy, lacking, needs, parse_refusal
from tests.adapters.proxmox.pve_lab import PVE1, VMIDS, Lab, token

GUESTS = (
    "VM.Allocate VM.Audit VM.Config.CPU VM.Config.Cloudinit VM.Config.Disk VM.Config.HWType VM.Config.Memory "
    "VM.Config.Network VM.Config.Options VM.PowerMgmt"
)
AGENT = "VM.GuestAgent.Audit VM.GuestAgent.FileRead"


def missing(
    lab: Lab, hypervisor: ProxmoxHypervisor, storages: tuple[str, ...] = (), pool: str | None = None
) -> tuple[str, ...]:
    root = lab.connect(token=token(lab.info.root_token))
    templates = root.observe(cluster=ClusterName("demo"), vmids=VMIDS).templates
    names = tuple(StorageName(name) for name in storages)
    rights = RightsNeeded(templates=templates, storages=names, resource_pool=pool)
    return tuple(map(str, hypervisor.missing_privileges(rights)))


@pytest.mark.parametrize("version", [8, 9])
def test_the_documented_role_is_enough(start_lab: Callable[..., Lab], version: int) -> None:
    lab = start_lab(pve_version=version)
    assert missing(lab, lab.connect(), storages=("local",)) == ()


@pytest.mark.parametrize("version", [8, 9])
def test_the_documented_role_makes_nobody_an_administrator_and_roots_token_does(
    start_lab: Callable[..., Lab], version: int
) -> None:
    lab = start_lab(pve_version=version)
    assert "VM.Clone" in lab.connect().held_privileges()
    assert set(ADMINISTRATORS).isdisjoint(lab.connect().held_privileges())
    root = lab.connect(token=token(lab.info.root_token))
    assert set(ADMINISTRATORS) <= set(root.held_privileges())
    assert lab.connect(token=token(lab.info.no_rights_token)).held_privileges() == ()


@pytest.mark.parametrize(("version", "agent"), [(8, "VM.Monitor"), (9, AGENT)])
def test_a_token_without_rights_lacks_all_by_path(start_lab: Callable[..., Lab], version: int, agent: str) -> None:
    lab = start_lab(pve_version=version)
    found = missing(lab, lab.connect(token=token(lab.info.no_rights_token)), storages=("fast",))
    assert found == (
        "/vms: " + f"{GUESTS} {agent}".replace(" ", ", "),
        "/vms/9000: VM.Audit, VM.Clone",
        "/storage/fast: Datastore.AllocateSpace",
        "/storage/local: Datastore.AllocateSpace",
        "/sdn/zones/localnetwork: SDN.Use",
        "/nodes: Sys.Audit",
    )


def test_rights_on_the_paths_that_matter_are_enough(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.grant_only(
        ("/pool/k3s", f"{GUESTS} {AGENT}"),
        ("/vms/9000", "VM.Clone VM.Audit"),
        ("/storage/local", "Datastore.AllocateSpace"),
        ("/sdn/zones/localnetwork/vmbr0", "SDN.Use"),
        ("/nodes/pve1", "Sys.Audit"),
    )
    assert missing(lab, hypervisor, pool="k3s") == ()
    assert [line.partition(":")[0] for line in missing(lab, hypervisor)] == ["/vms"]


def test_one_right_that_lacks_is_named_alone(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    everything = f"{GUESTS} {AGENT} VM.Clone Datastore.AllocateSpace SDN.Use Sys.Audit"
    lab.grant_only(("/", everything.replace("VM.Config.Cloudinit ", "")))
    assert missing(lab, hypervisor) == ("/vms: VM.Config.Cloudinit",)


def test_asking_needs_no_rights_and_changes_nothing(lab: Lab) -> None:
    hypervisor = lab.connect(token=token(lab.info.no_rights_token))
    missing(lab, hypervisor)
    assert {method for method, _ in lab.seen} == {"GET"}


@pytest.mark.parametrize(
    ("held", "lacks"),
    [
        ({}, True),
        ({"/": {"VM.Audit": 1}}, False),
        ({"/": {"VM.Audit": 0}}, True),  # does not reach below
        ({"/vms/9000": {"VM.Audit": 0}}, False),
        ({"/vms": {"VM.Audit": 1}}, False),
        ({"/vms/900": {"VM.Audit": 1}}, True),
        ({"/": {"VM.Audit": 1}, "/vms": {"VM.Clone": 1}}, True),  # an ACL replaces what it would inherit
    ],
)
def test_the_acl_nearest_to_the_path_decides(held: dict[str, dict[str, int]], lacks: bool) -> None:
    need = Need(path="/vms/9000", say="/vms/9000", privileges=("VM.Audit",))
    assert lacking(need, held) == (("VM.Audit",) if lacks else ())


def test_the_unrestricted_agent_right_covers_the_finer_ones() -> None:
    need = Need(path="/vms", say="/vms", privileges=("VM.GuestAgent.Audit", "VM.GuestAgent.FileRead", "VM.Audit"))
    assert lacking(need, {"/": {"VM.GuestAgent.Unrestricted": 1}}) == ("VM.Audit",)


@pytest.mark.parametrize(
    ("text", "path", "privileges"),
    [
        ("Permission check failed (/vms/201, VM.Audit)", "/vms/201", "VM.Audit"),
        ("Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)", "/sdn/zones/localnetwork/vmbr0",
         "SDN.Use"),
        ("403 Permission check failed (/storage/local, Datastore.Audit|Datastore.AllocateSpace)", "/storage/local",
         "Datastore.Audit"),
        ("Permission check failed (/vms/201, VM.Config.Disk|VM.Config.CPU)", "/vms/201",
         "VM.Config.Disk VM.Config.CPU"),
        ("Permission check failed (/vms/7, VM.GuestAgent.Unrestricted|VM.GuestAgent.FileRead)", "/vms/7",
         "VM.GuestAgent.FileRead"),
        ("Permission check failed", "/vms", "VM.Allocate"),
    ],
)  # fmt: skip
def test_a_refusal_is_read_as_proxmox_words_it(text: str, path: str, privileges: str) -> None:
    assert parse_refusal(text) == Refusal(path=path, privileges=tuple(privileges.split()))


def test_a_refusal_that_names_no_right_is_not_guessed_at() -> None:
    assert parse_refusal("Permission check failed (pool 'nope' does not exist)") is None


def test_the_grant_widens_the_role_for_the_user_and_the_token() -> None:
    refusal = Refusal(path="/vms/201", privileges=("VM.Audit", "VM.Clone"))
    assert grant_remedy(refusal, token="homelab@pve!lab") == (
        "as root on a Proxmox node: pveum role add homelab-k8s 2>/dev/null; "
        'pveum role modify homelab-k8s --append 1 --privs "VM.Audit VM.Clone" && '
        "pveum acl modify /vms --roles homelab-k8s --users homelab@pve --tokens 'homelab@pve!lab' "
        "(`pveum acl list` shows the role's name, if it is not homelab-k8s)"
    )


def test_each_lack_comes_with_the_command_that_mends_it(lab: Lab) -> None:
    hypervisor = lab.connect(token=token(lab.info.no_rights_token))
    rights = RightsNeeded(bridges=("vmbr7",), reads_guest_files=False)
    on_vms, on_network, *others = hypervisor.missing_privileges(rights)
    assert {"VM.Audit", "VM.Clone"} <= set(on_vms.privileges)
    assert [lack.path for lack in others] == ["/storage", "/nodes"], "no template is seen, so all is told at once"
    assert "VM.GuestAgent.FileRead" not in on_vms.privileges, "host keys are not read then"
    user = lab.info.no_rights_token.partition("!")[0]
    assert on_network.remedy == (
        "pveum role add homelab-k8s 2>/dev/null; "
        'pveum role modify homelab-k8s --append 1 --privs "SDN.Use" && '
        f"pveum acl modify /sdn/zones/localnetwork --roles homelab-k8s --users {user} "
        f"--tokens '{lab.info.no_rights_token.partition('=')[0]}'"
    )


POOL = "kpool"
NEW = (Vmid(7001), Vmid(7999))


@pytest.fixture
def pool(lab: Lab) -> str:
    lab.pve.pools[POOL] = set()
    lab.pve.pool_info[POOL] = {"comment": None, "storage": set()}
    return POOL


def lacks(hypervisor: ProxmoxHypervisor, **rights: Any) -> list[str]:
    return [str(lack) for lack in hypervisor.missing_privileges(RightsNeeded(**rights)) if lack.path != "/nodes"]


@pytest.mark.parametrize("path", ["/", "/vms", "/pool/kpool"])
def test_rights_on_all_on_all_vms_or_on_the_pool_do(
    lab: Lab, hypervisor: ProxmoxHypervisor, pool: str, path: str
) -> None:
    lab.grant_only((path, f"{GUESTS} {AGENT}"))
    assert lacks(hypervisor, resource_pool=pool, vmids=NEW) == []


def test_rights_on_each_vmid_do(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.grant_only(("/vms/7001", f"{GUESTS} {AGENT}"), ("/vms/7999", f"{GUESTS} {AGENT}"))
    assert lacks(hypervisor, vmids=NEW) == []
    assert lacks(hypervisor, vmids=(*NEW, Vmid(7002)))[0].startswith("/vms: VM.Allocate, VM.Audit")


def test_an_acl_that_does_not_propagate_does_not_do(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.grant_only(("/vms", f"{GUESTS} {AGENT}"))
    assert lacks(hypervisor, vmids=NEW) == []
    lab.server.access.local.add((lab.info.token_id, "/vms"))
    assert [lack.partition(":")[0] for lack in lacks(hypervisor, vmids=NEW)][:1] == ["/vms"]
    assert lacks(hypervisor)[0].startswith("/vms: VM.Allocate"), "whichever vmid a machine will have"


def test_no_access_on_one_vmid_is_seen(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.grant_only(("/vms", f"{GUESTS} {AGENT}"), ("/vms/7001", "NoAccess"))
    assert lacks(hypervisor, vmids=(Vmid(7002),)) == []
    assert lacks(hypervisor, vmids=NEW)[0].startswith("/vms: VM.Allocate")


def test_the_pools_rights_reach_the_machines_that_are_in_it_alone(
    lab: Lab, hypervisor: ProxmoxHypervisor, pool: str
) -> None:
    lab.grant_only((f"/pool/{pool}", f"{GUESTS} {AGENT}"))
    lab.pve.pools[pool].add(7001)
    assert lacks(hypervisor, resource_pool=pool, own_vmids=(Vmid(7001),)) == []
    assert lacks(hypervisor, resource_pool=pool, own_vmids=(Vmid(7002),))[0].startswith(f"/pool/{pool}: VM.Allocate")


def test_separated_privileges_are_the_users_as_well(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.grant_only(("/vms", f"{GUESTS} {AGENT}"))
    lab.server.access.separated.add(lab.info.token_id)
    lab.pve.grant("homelab@pve", "/vms", *f"{GUESTS} {AGENT}".replace("VM.PowerMgmt ", "").split())
    assert lacks(hypervisor, vmids=NEW) == ["/vms: VM.PowerMgmt"]


def test_a_pool_that_the_token_has_rights_on_is_named_where_the_inventory_does_not(
    lab: Lab, hypervisor: ProxmoxHypervisor, pool: str
) -> None:
    lab.grant_only((f"/pool/{pool}", f"{GUESTS} {AGENT}"))
    on_vms = hypervisor.missing_privileges(RightsNeeded(vmids=NEW))[0]
    assert on_vms.remedy.splitlines()[-1] == (
        "# or set proxmox.pool to kpool in the inventory: there the token may make VMs"
    )


def test_efi_variables_and_tpm_state_are_cloned_to_where_they_are(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    """The cloud-init drive is not checked (PVE::API2::Qemu: check_storage_access_clone)."""
    lab.pve.vm(9000).config |= {
        "efidisk0": "efi:base-9000-disk-1,size=4M",
        "tpmstate0": "tpm:base-9000-disk-2,size=4M",
        "ide2": "seeds:vm-9000-cloudinit,media=cdrom",
    }
    lab.grant_only(("/", f"{GUESTS} {AGENT} VM.Clone SDN.Use Sys.Audit"), ("/storage/local", "Datastore.AllocateSpace"))
    assert missing(lab, hypervisor) == (
        "/storage/efi: Datastore.AllocateSpace",
        "/storage/tpm: Datastore.AllocateSpace",
    )


def test_mappings_of_the_template_and_of_machines_are_needed(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.pve.vm(9000).config |= {
        "hostpci0": "mapping=gpu,pcie=1",
        "usb0": "mapping=key",
        "usb1": "spice",
        "virtiofs0": "dirid=data",
        "rng0": "source=/dev/hwrng",
    }
    everything = f"{GUESTS} {AGENT} VM.Clone Datastore.AllocateSpace SDN.Use Sys.Audit"
    lab.grant_only(("/", everything), ("/mapping/pci/gpu", "Mapping.Use"))
    assert missing(lab, hypervisor) == (
        "/mapping/dir: Mapping.Use", "/mapping/hwrng: Mapping.Use", "/mapping/usb: Mapping.Use"
    )  # fmt: skip
    assert lacks(hypervisor, vmids=NEW, mappings=("nic",)) == ["/mapping/pci: Mapping.Use"]


@pytest.mark.parametrize(
    ("version", "lack"),
    [((8, 4), "/nodes: Sys.Audit"), ((9, 1), "/nodes: Sys.Audit"), ((9, 2), "/mapping/cpu: Mapping.Use")],
)
def test_a_custom_cpu_model_is_checked_where_this_version_does(version: tuple[int, int], lack: str) -> None:
    told = PveVersion(major=version[0], minor=version[1], text="")
    held = {"/": dict.fromkeys(f"{GUESTS} {AGENT} VM.Monitor".split(), 1)}
    found = needs(RightsNeeded(cpu_models=("big",)), version=told)
    assert [f"{need.say}: {name}" for need in found for name in lacking(need, held)] == [lack]


@pytest.mark.parametrize(
    ("held", "lack"),
    [
        ({"/nodes/pve1": {"Sys.AccessNetwork": 0}}, ()),
        ({"/": {"Sys.Audit": 0, "Sys.Modify": 0}}, ()),
        ({"/": {"Sys.Modify": 1}}, ("Sys.AccessNetwork",)),
    ],
)
def test_downloads_are_allowed_in_two_ways(held: dict[str, dict[str, int]], lack: tuple[str, ...]) -> None:
    """Sys.AccessNetwork on the node, or Sys.Audit and Sys.Modify on / (pve-storage: download_url)."""
    builds = BuildRights(downloads_on=(PVE1,))
    found = needs(RightsNeeded(builds=builds), version=PveVersion(major=9, minor=0, text="9.0"))
    assert lacking(next(need for need in found if need.say == "/nodes"), held) == lack
    old = needs(RightsNeeded(builds=builds), version=PveVersion(major=8, minor=1, text="8.1"))
    assert not any("Sys.AccessNetwork" in need.privileges for need in old), "8.1 does not know it"
    assert any(need.path == "/" and need.privileges == ("Sys.Audit", "Sys.Modify") for need in old)


def test_a_vlan_tag_of_a_bridge_may_be_all_that_is_granted(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.grant_only(("/vms", f"{GUESTS} {AGENT}"), ("/sdn/zones/localnetwork/vmbr0/20", "SDN.Use"))
    assert lacks(hypervisor, vmids=NEW, bridges=("vmbr0/20",)) == []
    assert lacks(hypervisor, vmids=NEW, bridges=("vmbr0",)) == ["/sdn/zones/localnetwork: SDN.Use"]
    lab.grant_only(("/vms", f"{GUESTS} {AGENT}"), ("/sdn/zones/localnetwork", "SDN.Use"))
    assert lacks(hypervisor, vmids=NEW, bridges=("vmbr0/20", "vmbr0")) == [], "the whole bridge covers its tags"


def test_the_remedy_makes_the_role_first_and_gives_root_no_acl() -> None:
    command = grant_remedy(Refusal(path="/vms/7001", privileges=("VM.Audit",)), token="root@pam!k8s")
    assert command.index("pveum role add homelab-k8s") < command.index("pveum role modify homelab-k8s")
    assert "--users" not in command
    assert "pveum acl modify /vms --roles homelab-k8s --tokens 'root@pam!k8s'" in command


def test_datastore_allocate_is_granted_on_its_storage_alone() -> None:
    """With it a token may change and remove the storage: it must not come with the role that has other paths too."""
    command = grant_remedy(Refusal(path="/storage/local", privileges=("Datastore.Allocate",)), token="homelab@pve!k8s")
    assert "role modify homelab-k8s" not in command
    assert "pveum role add homelab-k8s-storage --privs Datastore.Allocate" in command
    assert "pveum acl modify /storage/local --roles homelab-k8s,homelab-k8s-storage --users homelab@pve" in command
