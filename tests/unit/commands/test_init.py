"""What `init` learns of a Proxmox VE, what it refuses, and that its draft is an inventory that `up` would carry out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.cli.text.init import written_text
from bootstrap.commands.init import draft, free_name, survey
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import PreflightError, UsageError
from bootstrap.homelab import Homelab
from bootstrap.inventory import load_inventory
from bootstrap.inventory.answers import Connection
from bootstrap.model.access.endpoint import TlsSpec
from bootstrap.model.access.rights import MissingPrivileges
from bootstrap.model.cluster import TemplateRef
from bootstrap.model.ids import ClusterName, StorageName
from bootstrap.planning.verbs.init import InitOptions
from tests.fakes.specs import DEMO
from tests.fakes.world import World, pve_node
from tests.fakes.world.facts import EVERYTHING, FINGERPRINT

WISHES = InitOptions(cluster=DEMO)
PINNED = Connection(endpoint="https://192.0.2.1:8006", token_env="T", tls=TlsSpec(fingerprint=FINGERPRINT))
NO_AUDIT = MissingPrivileges(path="/vms", privileges=("VM.Audit",), remedy="pveum ...")


def test_the_draft_builds_the_cluster_it_speaks_of(tmp_path: Path) -> None:
    world = World()
    drafted = draft(survey(world.ports), WISHES, PINNED)
    file = tmp_path / "homelab-k8s.yaml"
    file.write_text(drafted.text)
    inventory = load_inventory(file, environ={"T": "a@pve!b=c"})
    assert inventory.spec == drafted.proposal.spec
    homelab = Homelab(inventory, ports=world.ports)
    homelab.run(Up(), homelab.plan(Up()))
    assert {vm.name for vm in world.vms.values()} == {"demo-cp-1", *(f"demo-workers-{n}" for n in (1, 2, 3))}
    assert all(vm.vmid in inventory.spec.placement.vmids for vm in world.vms.values())


def test_a_second_cluster_gets_another_name_and_other_vmids(tmp_path: Path) -> None:
    world = World()
    first = draft(survey(world.ports), replace(WISHES, cluster=ClusterName("homelab")), PINNED)
    tmp_path.joinpath("one.yaml").write_text(first.text)
    homelab = Homelab(load_inventory(tmp_path / "one.yaml", environ={"T": "a@pve!b=c"}), ports=world.ports)
    homelab.run(Up(), homelab.plan(Up()))
    seen = survey(world.ports)
    assert free_name(seen) == "homelab-2"
    second = draft(seen, replace(WISHES, cluster=free_name(seen)), PINNED).proposal
    assert second.problems == ()
    assert not any(vm.vmid in second.spec.placement.vmids for vm in world.vms.values())


def test_a_token_that_sees_no_vm_gets_no_proposal() -> None:
    world = World(templates=[], missing=(NO_AUDIT,))
    seen = survey(world.ports)
    with pytest.raises(PreflightError, match=r"VM\.Audit") as caught:
        draft(seen, WISHES, PINNED)
    assert "`homelab-k8s init --pveum --pve-version 9`" in caught.value.resolution
    assert not survey(World(missing=(NO_AUDIT,)).ports).blind, "rights on a pool are enough to see its templates"


def test_no_template_at_all_is_no_reason_to_write_nothing() -> None:
    world = World(templates=[], pve_nodes=[replace(pve_node(), storages=(EVERYTHING,))])
    drafted = draft(survey(world.ports), WISHES, PINNED)
    assert "template: {image: debian-13}\n" in drafted.text
    assert (
        "# None was found: `up` builds one from this cloud image, with k3s preinstalled (it asks first).\n"
        in drafted.text
    )
    assert drafted.proposal.problems == ()
    file = Path("homelab-k8s.yaml")
    assert "\nnext: homelab-k8s doctor\n" in written_text(drafted.proposal, file, default=file)


@pytest.mark.parametrize(
    ("verb_options", "told", "there"),
    [
        (replace(WISHES, storage=StorageName("nope")), "--storage: there is no storage nope", "available: local"),
        (replace(WISHES, bridge="vmbr7"), "--bridge: there is no bridge vmbr7", "available: vmbr0"),
        (
            replace(WISHES, template=TemplateRef(name="x")),
            "--template: no template matches x",
            "available: debian-12",
        ),
        (
            replace(WISHES, template=TemplateRef(tag="x")),
            "--template: no template matches tag x",
            "available: debian-12",
        ),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(verb_options: InitOptions, told: str, there: str) -> None:
    with pytest.raises(UsageError) as caught:
        draft(survey(World().ports), verb_options, PINNED)
    assert (caught.value.brief, caught.value.resolution) == (told, there)


def test_a_resource_pool_that_is_missing_is_refused_with_the_command_that_makes_it() -> None:
    with pytest.raises(UsageError, match="--pool: there is no resource pool homelabs") as caught:
        draft(survey(World().ports, resource_pool="homelabs"), replace(WISHES, resource_pool="homelabs"), PINNED)
    assert caught.value.resolution.endswith("\npveum pool add homelabs")


def test_what_is_there_is_taken() -> None:
    verb_options = replace(
        WISHES, storage=StorageName("local"), bridge="vmbr0", template=TemplateRef(tag="homelab-k8s-template")
    )
    text = draft(survey(World().ports), verb_options, PINNED).text
    assert "  storage: local\n" in text
    assert "network:\n  bridge: vmbr0\n" in text
    assert "template: {tag: homelab-k8s-template}\n" in text


def test_a_certificate_that_a_ca_vouches_for_is_not_pinned() -> None:
    text = draft(survey(World().ports), WISHES, replace(PINNED, tls=TlsSpec())).text
    assert "\n  tls:" not in text
    assert "The system's CAs have signed the certificate" in text


def test_a_resource_pool_goes_into_the_inventory() -> None:
    drafted = draft(survey(World().ports, resource_pool="kpool"), replace(WISHES, resource_pool="kpool"), PINNED)
    assert "\n  pool: kpool\n" in drafted.text
