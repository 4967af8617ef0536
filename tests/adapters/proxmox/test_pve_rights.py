"""What the token lacks, before anything fails for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.adapters.proxmox.grants import Need, Refusal, lacking, mend_grant, parse_refusal
from bootstrap.model.ids import ClusterName, StorageName
from bootstrap.ports import RightsNeeded
from tests.adapters.proxmox.pve_lab import VMIDS, Lab, token

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
    assert mend_grant(refusal, token="homelab@pve!lab") == (
        'as root on a Proxmox node: pveum role modify homelab-k8s --append 1 --privs "VM.Audit VM.Clone" && '
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
        'pveum role modify homelab-k8s --append 1 --privs "SDN.Use" && '
        f"pveum acl modify /sdn/zones/localnetwork --roles homelab-k8s --users {user} "
        f"--tokens '{lab.info.no_rights_token.partition('=')[0]}'"
    )
