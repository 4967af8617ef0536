"""`template`: built by steps that can each be the last, listed, and removed when nobody needs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from bootstrap.cli.running.command_session import Ended
from bootstrap.cli.verbs.setup.template import pruned_text
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.template import BuildTemplate, PruneTemplates, list_templates
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError, HypervisorError, PreflightError
from bootstrap.events import Event, Warned
from bootstrap.model.cluster import StaticAddresses
from bootstrap.model.ids import PveNodeName, StorageName, Vmid
from bootstrap.model.observed import StorageFacts
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.planning.templates.build import BuildOptions, builds_of
from bootstrap.planning.templates.steps import RemoveTemplate
from bootstrap.records.vms.template import BuildState
from tests.fakes.specs import cluster
from tests.fakes.world import PVE1, FakeVm, World, pve_node
from tests.fakes.world.facts import EVERYTHING

SPEC = cluster()
WISH = BuildOptions()


def world_of(*names: str, storage: StorageFacts = EVERYTHING) -> World:
    world = World()
    world.pve_nodes = [replace(pve_node(name), storages=(storage,)) for name in names or ("pve1",)]
    return world


def build(
    world: World, verb_options: BuildOptions = WISH, *, sink: Callable[[Event], None] = lambda _event: None
) -> Plan:
    plan = BuildTemplate(verb_options).plan(SPEC, world.ports)
    if not plan.empty:
        BuildTemplate(verb_options).run(plan, SPEC, world.ports, sink=sink, options=RunOptions())
    return plan


def prune(world: World) -> Plan:
    plan = PruneTemplates().plan(SPEC, world.ports)
    if not plan.empty:
        PruneTemplates().run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    return plan


def isos(world: World) -> list[str]:
    return [volume for _, volume in world.volumes if ":iso/" in volume]


def test_a_vmid_of_what_the_token_may_not_see_is_passed_over() -> None:
    world = world_of("pve1", "pve2")
    first, second = (build.vmid for build in builds_of(BuildTemplate(WISH).plan(SPEC, world.ports)))
    world.hidden = {first, second}
    build(world)
    made = {one.vmid for one in list_templates(world.ports)}
    assert made == {second + 1, second + 2}


def test_what_users_wrote_about_a_template_stays() -> None:
    world = world_of()

    def interfere(call: str) -> None:
        for vm in world.vms.values():
            if call.startswith("create"):
                vm.description = f"# mine\r\n{vm.description}\nmore"

    world.on_call = interfere
    build(world)
    (made,) = list_templates(world.ports)
    text = world.vms[made.vmid].description
    assert text.startswith("# mine\r\n")
    assert text.endswith("}\nmore")


def test_a_template_is_built_in_order_and_nothing_else_is_left() -> None:
    world = world_of()
    build(world)
    (made,) = list_templates(world.ports)
    assert (made.template, made.running, made.record.state) == (True, False, BuildState.SEALED)
    assert world.vms[made.vmid].settings["ide2"] == "local:cloudinit"
    assert isos(world) == []
    assert list(world.vms) == [made.vmid]
    acts = [call.split()[0] for call in world.journal]
    assert acts == [
        *("download", "upload", "create", "start", "upload", "bake", "describe", "clean", "describe", "stop"),
        *("seal", "convert", "remove"),
    ]


def test_on_arm64_no_drive_is_on_ide() -> None:
    """QEMU's `virt` machine has no such bus, and the VM would not start."""
    world = world_of()
    world.pve_nodes = [replace(facts, architecture="aarch64") for facts in world.pve_nodes]
    build(world)
    (made,) = list_templates(world.ports)
    assert world.vms[made.vmid].settings["scsi1"] == "local:cloudinit"
    assert not [key for key in world.vms[made.vmid].settings if key.startswith("ide")]


def test_where_it_is_already_nothing_is_done() -> None:
    world = world_of()
    build(world)
    again = BuildTemplate(WISH).plan(SPEC, world.ports)
    assert again.empty
    assert "is already that template" in again.notes[0]
    assert len(builds_of(BuildTemplate(replace(WISH, again=True)).plan(SPEC, world.ports))) == 1


def test_the_token_of_a_cluster_is_not_made_for_it() -> None:
    world = world_of()
    build(world)
    assert world.state == {}


def calls_of_a_build() -> list[str]:
    world = world_of()
    build(world)
    return world.journal


@pytest.mark.parametrize("number", range(len(calls_of_a_build())))
@pytest.mark.parametrize("other_key", [False, True])
def test_one_that_dies_after_any_act_is_finished_or_started_clean(number: int, other_key: bool) -> None:
    """The error comes after the act, as where the process is killed right then; another computer has another key."""
    world = world_of()

    def die(_call: str) -> None:
        if len(world.journal) == number + 1:
            raise HypervisorError("died")

    world.on_call = die
    with pytest.raises(HomelabError):
        build(world)
    world.on_call = lambda _call: None
    ports = world.ports
    if other_key:
        ports = replace(ports, shells=replace(ports.shells, public_key="ssh-ed25519 BBBBother"))  # type: ignore[type-var]
    plan = BuildTemplate(WISH).plan(SPEC, ports)
    if not plan.empty:
        BuildTemplate(WISH).run(plan, SPEC, ports, sink=lambda _event: None, options=RunOptions())
    (made,) = list_templates(ports)
    assert made.template
    assert world.vms[made.vmid].k3s_sha256
    assert list(world.vms) == [made.vmid]
    assert isos(world) == []
    assert BuildTemplate(WISH).plan(SPEC, ports).empty


def test_one_cut_off_before_it_is_cleaned_goes_on_with_its_vm() -> None:
    world = world_of()
    world.broken_scripts.add("bake.sh")
    with pytest.raises(HomelabError, match=r"bake\.sh"):
        build(world)
    vmid = list_templates(world.ports)[0].vmid
    world.broken_scripts.clear()
    world.journal.clear()
    build(world)
    assert list_templates(world.ports)[0].vmid == vmid
    assert not any(call.startswith(("create", "download", "destroy")) for call in world.journal)


def test_each_pve_node_with_storage_of_its_own_gets_one_and_a_shared_storage_serves_all() -> None:
    world = world_of("pve1", "pve2")
    build(world)
    assert sorted(one.pve_node for one in list_templates(world.ports)) == ["pve1", "pve2"]
    shared = world_of("pve1", "pve2", storage=replace(EVERYTHING, shared=True))
    build(shared)
    assert [one.pve_node for one in list_templates(shared.ports)] == ["pve1"]
    assert BuildTemplate(WISH).plan(SPEC, shared.ports).empty


def test_a_template_serves_only_where_its_own_storage_is_whatever_else_is_shared() -> None:
    """pve1 has local storage alone, pve2 and pve3 a roomier one that they share."""
    together = replace(EVERYTHING, name=StorageName("nfs"), shared=True, free_gib=900)
    world = world_of("pve1", "pve2", "pve3")
    world.pve_nodes[1:] = [replace(each, storages=(EVERYTHING, together)) for each in world.pve_nodes[1:]]
    build(world, replace(WISH, pve_nodes=(PVE1,)))
    build(world)
    assert sorted(one.pve_node for one in list_templates(world.ports)) == ["pve1", "pve2"]
    assert BuildTemplate(WISH).plan(SPEC, world.ports).empty


def test_one_on_shared_storage_does_not_keep_a_pve_node_without_that_storage_from_its_own() -> None:
    together = replace(EVERYTHING, name=StorageName("nfs"), shared=True, free_gib=900)
    world = world_of("pve1", "pve2", "pve3")
    world.pve_nodes[:2] = [replace(each, storages=(EVERYTHING, together)) for each in world.pve_nodes[:2]]
    build(world)
    assert sorted(one.pve_node for one in list_templates(world.ports)) == ["pve1", "pve3"]
    assert BuildTemplate(WISH).plan(SPEC, world.ports).empty


def test_only_one_pve_node_that_is_asked_for() -> None:
    world = world_of("pve1", "pve2")
    build(world, replace(WISH, pve_nodes=(PveNodeName("pve2"),)))
    assert [one.pve_node for one in list_templates(world.ports)] == ["pve2"]
    with pytest.raises(PreflightError, match="pve9"):
        BuildTemplate(replace(WISH, pve_nodes=(PveNodeName("pve9"),))).plan(SPEC, world.ports)


def test_a_storage_that_takes_no_images_to_import_is_named_with_what_to_do() -> None:
    world = world_of(storage=replace(EVERYTHING, content=frozenset({"images", "iso"})))
    with pytest.raises(PreflightError, match="no storage of pve1 takes import content") as caught:
        BuildTemplate(WISH).plan(SPEC, world.ports)
    assert "pvesm set" in caught.value.resolution
    assert caught.value.resolution.endswith("\npvesm set local --content images,iso,import"), "what it has stays"


def test_the_line_for_import_content_is_for_a_storage_that_can_have_it() -> None:
    """Active on that Proxmox node, and of files; `local` first, as the one that each Proxmox VE has."""
    images = frozenset({"images"})
    lvm = replace(EVERYTHING, name=StorageName("local-lvm"), kind="lvmthin", content=images, free_gib=900)
    nfs = replace(EVERYTHING, name=StorageName("nfs"), kind="nfs", content=frozenset({"iso"}), free_gib=800)
    off = replace(EVERYTHING, active=False)
    for storages, told in (
        ((lvm, nfs, off), "pvesm set nfs --content iso,import"),
        ((lvm, nfs, replace(EVERYTHING, content=frozenset({"none"}))), "pvesm set local --content import"),
        ((lvm, replace(nfs, content=frozenset())), "pvesm set nfs --content import,iso"),
        ((lvm,), "no storage that this token sees there supports it"),
    ):
        world = world_of()
        world.pve_nodes = [replace(each, storages=storages) for each in world.pve_nodes]
        with pytest.raises(PreflightError, match="takes import content") as caught:
            BuildTemplate(WISH).plan(SPEC, world.ports)
        assert told in caught.value.resolution.splitlines()[-1]


def test_all_contents_that_are_missing_are_told_at_once() -> None:
    world = world_of(storage=replace(EVERYTHING, content=frozenset({"backup"})))
    with pytest.raises(PreflightError) as caught:
        BuildTemplate(WISH).plan(SPEC, world.ports)
    assert caught.value.brief == "; ".join(
        f"no storage of pve1 takes {content} content" for content in ("images", "import", "iso")
    )
    assert caught.value.resolution.endswith("\npvesm set local --content backup,images,import,iso")


def test_an_image_that_is_there_needs_no_such_storage_and_no_download() -> None:
    world = world_of(storage=replace(EVERYTHING, content=frozenset({"images", "iso"})))
    world.volumes.add((PVE1, "local:import/mine.qcow2"))
    build(world, replace(WISH, image="local:import/mine.qcow2"))
    assert list_templates(world.ports)[0].name.startswith("hk8s-mine-")
    assert not any(call.startswith("download") for call in world.journal)


def test_an_image_that_is_not_there_is_said() -> None:
    with pytest.raises(HomelabError, match=r"there is no local:import/mine\.qcow2 on pve1"):
        build(world_of(), replace(WISH, image="local:import/mine.qcow2"))


def test_with_fixed_addresses_it_takes_the_last_that_is_free() -> None:
    network = IPv4Network("192.0.2.0/24")
    addresses = StaticAddresses(
        first=IPv4Address("192.0.2.10"),
        last=IPv4Address("192.0.2.20"),
        subnet=network,
        gateway=IPv4Address("192.0.2.20"),
    )
    spec = replace(SPEC, network=replace(SPEC.network, addresses=addresses))
    world = world_of("pve1", "pve2")
    plan = BuildTemplate(WISH).plan(spec, world.ports)
    assert [str(one.address) for one in builds_of(plan)] == ["192.0.2.19", "192.0.2.18"]


def test_a_vmid_that_somebody_took_meanwhile_is_left_alone() -> None:
    world = world_of()
    vmid = builds_of(BuildTemplate(WISH).plan(SPEC, world.ports))[0].vmid

    def take(call: str) -> None:
        if call.startswith("download"):
            world.vms[vmid] = FakeVm(vmid=vmid, name="precious", pve_node=PVE1)

    world.on_call = take
    with pytest.raises(HomelabError, match=f"vmid {vmid} is precious"):
        build(world)
    assert world.vms[vmid].name == "precious"


def test_what_is_not_there_is_a_warning() -> None:
    said: list[Event] = []
    build(world_of(), sink=said.append)
    assert any(isinstance(event, Warned) and "something is not there" in event.message for event in said)


def test_isos_that_the_token_may_not_remove_are_told_once_and_by_prune() -> None:
    """They hold no secret, and each build leaves one: no reason to warn each time."""
    world = world_of()
    world.keeps_volumes = True
    said: list[Event] = []
    for _ in range(3):
        build(world, replace(WISH, again=True), sink=said.append)
    assert len(isos(world)) == 3
    assert not [event for event in said if isinstance(event, Warned) and "ISO" in event.message]
    before = list_templates(world.ports)
    plan = PruneTemplates().plan(SPEC, world.ports)
    report = PruneTemplates().run(plan, SPEC, world.ports, sink=said.append, options=RunOptions())
    (warning,) = [event.message for event in said if isinstance(event, Warned) and "ISO" in event.message]
    assert warning.startswith("3 ISOs of template builds remain: ")
    assert "no secret" in warning
    assert not [step.title for step in report.steps if step.changed and "iso/" in step.title]
    gone = [f"{one.name} ({one.vmid})" for one in before if one.vmid not in world.vms]
    assert pruned_text(Ended(plan=plan, report=report)).startswith(f"removed {', '.join(gone)} in ")


def test_prune_removes_the_isos_that_it_may() -> None:
    world = world_of()
    world.keeps_volumes = True
    build(world)
    world.keeps_volumes = False
    plan = PruneTemplates().plan(SPEC, world.ports)
    report = PruneTemplates().run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert isos(world) == []
    (title,) = [step.title for step in report.steps if step.changed]
    assert title.startswith("remove local:iso/hk8s-")
    assert pruned_text(Ended(plan=plan, report=report)).startswith("removed local:iso/hk8s-")


def three_generations() -> tuple[World, list[Vmid]]:
    world = world_of()
    for _ in range(3):
        build(world, replace(WISH, again=True))
    return world, sorted(world.vms)


def test_prune_keeps_the_newest_and_those_in_use() -> None:
    world, vmids = three_generations()
    world.users[vmids[0]] = ("7001 (demo-cp-1)",)
    plan = prune(world)
    assert sorted(world.vms) == [vmids[0], vmids[2]]
    assert plan.notes == (f"{world.vms[vmids[0]].name} ({vmids[0]}) is kept: 7001 (demo-cp-1) are linked clones of it",)
    assert PruneTemplates().plan(SPEC, world.ports).empty


def test_prune_keeps_as_many_as_it_is_to() -> None:
    world, vmids = three_generations()
    assert PruneTemplates(keep=3).plan(SPEC, world.ports).empty
    assert [step.vmid for step in steps_of(PruneTemplates(keep=2).plan(SPEC, world.ports), RemoveTemplate)] == vmids[:1]


def test_prune_leaves_one_that_got_a_clone_since_it_was_planned() -> None:
    world, vmids = three_generations()
    plan = PruneTemplates().plan(SPEC, world.ports)
    world.users[vmids[1]] = ("7001 (demo-cp-1)",)
    PruneTemplates().run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert sorted(world.vms) == vmids[1:]


def test_prune_of_images_is_by_image() -> None:
    world = world_of()
    build(world)
    build(world, replace(WISH, image="debian-12"))
    assert PruneTemplates().plan(SPEC, world.ports).empty


def test_prune_removes_what_a_dead_build_left_in_our_range_and_no_other() -> None:
    world = world_of()
    world.broken_scripts.add("bake.sh")
    with pytest.raises(HomelabError):
        build(world)
    stranger = FakeVm(vmid=Vmid(7500), name="precious", pve_node=PVE1)
    world.vms[stranger.vmid] = stranger
    world.volumes.add((PVE1, "local:iso/hk8s-00000000-5000.iso"))
    prune(world)
    assert list(world.vms) == [stranger.vmid]
    assert isos(world) == ["local:iso/hk8s-00000000-5000.iso"]


@pytest.mark.parametrize(
    ("baked", "uploads"), [("v1.33.3+k3s1", False), ("v1.33.4+k3s1", True), ("v1.33.2+k3s1", True)]
)
def test_machines_run_the_k3s_that_is_asked_for_and_get_it_only_where_the_template_has_another(
    baked: str, uploads: bool
) -> None:
    """A newer one too: the binary came with the template, and no data of its version is there."""
    world = World()
    world.baked = world.ports.artifacts.fetch(SPEC.k3s, version=baked, arch="amd64").sha256
    wanted = world.ports.artifacts.fetch(SPEC.k3s, version="v1.33.3+k3s1", arch="amd64").sha256
    Up().run(Up().plan(SPEC, world.ports), SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert {vm.k3s_sha256 for vm in world.vms.values()} == {wanted}
    assert any(call.startswith("upload") for call in world.journal) is uploads
