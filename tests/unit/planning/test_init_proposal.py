"""What `init` proposes fits, as `up` would judge it; it takes nobody's vmids, and its template serves most nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.adapters.images import catalogue
from bootstrap.cli.text.init import survey_text
from bootstrap.commands.init import Survey
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import IMAGES, TemplateRef
from bootstrap.model.ids import ClusterName, PveNodeName, StorageName, Vmid
from bootstrap.model.observed import Observed, PveNodeFacts, PveVersion, StorageFacts, TemplateFacts
from bootstrap.planning.capacity.sizing import Capacity
from bootstrap.planning.templates.discovery import common_bridges, common_storages, free_vmids, template_choices
from bootstrap.planning.verbs.init import COMFORT, MEMORY_MIB, InitOptions, propose
from bootstrap.planning.verbs.up import plan_up
from bootstrap.planning.view import ClusterView
from tests.fakes.seen import vm
from tests.fakes.specs import DEMO, control_plane
from tests.fakes.world import TEMPLATE, pve_node
from tests.fakes.world.facts import EVERYTHING, STORAGE

WISHES = InitOptions(cluster=DEMO)
FAST = replace(STORAGE, name=StorageName("fast"), free_gib=900)
CEPH = replace(STORAGE, name=StorageName("ceph"), free_gib=700, shared=True)


def template(name: str, *, on: str, vmid: int, **other: object) -> TemplateFacts:
    facts = replace(TEMPLATE, name=name, pve_node=PveNodeName(on), vmid=Vmid(vmid), tags=frozenset())
    return replace(facts, **other)  # type: ignore[arg-type]


def observed(*templates: TemplateFacts, pve_nodes: tuple[PveNodeFacts, ...] = (pve_node(),)) -> Observed:
    return Observed(
        version=PveVersion(major=9, minor=0, text="9.0"),
        pve_nodes=pve_nodes,
        templates=templates,
        used_vmids=frozenset(each.vmid for each in templates),
    )


@st.composite
def hosts(draw: st.DrawFn) -> PveNodeFacts:
    facts = pve_node(
        f"pve{draw(st.integers(1, 10_000))}", cores=draw(st.integers(1, 16)), memory_gib=draw(st.integers(1, 64))
    )
    storage = replace(STORAGE, free_gib=draw(st.integers(0, 60)))
    return replace(
        facts,
        committed_memory_mib=draw(st.integers(0, 32 * 1024)),
        committed_cores=draw(st.integers(0, 20)),
        storages=(storage,),
    )


@given(
    st.lists(hosts(), min_size=1, max_size=3, unique_by=lambda facts: facts.name),
    st.booleans(),
    st.sampled_from([None, 0, 1, 5]),
    st.sampled_from([None, 1, 3]),
    st.booleans(),
)
def test_a_proposal_without_a_problem_is_one_that_up_would_carry_out(
    pve_nodes: list[PveNodeFacts], has_template: bool, workers: int | None, servers: int | None, linkable: bool
) -> None:
    templates = tuple(
        template("debian", on=facts.name, vmid=9000 + turn, linkable=linkable) for turn, facts in enumerate(pve_nodes)
    )
    seen = observed(*(templates if has_template else ()), pve_nodes=tuple(pve_nodes))
    proposal = propose(seen, replace(WISHES, workers=workers, control_planes=servers))
    spec = proposal.spec
    assert spec.control_plane.count == (servers or 1)
    assert workers is None or spec.workers[0].count == workers
    if has_template and not proposal.problems:
        plan = plan_up(ClusterView(spec, seen), version="v1")
        assert len(plan.machines) == spec.control_plane.count + spec.workers[0].count
    if has_template and proposal.problems:
        smallest = replace(spec, workers=(replace(spec.workers[0], count=0),)) if workers is None else spec
        assert spec.control_plane.memory_mib == MEMORY_MIB[-1][0]
        with pytest.raises(PreflightError, match=r"fits on no Proxmox node|no storage"):
            plan_up(ClusterView(smallest, seen), version="v1")


def test_a_roomy_host_gets_the_best_sizes() -> None:
    spec = propose(observed(TEMPLATE, pve_nodes=(pve_node(memory_gib=64),)), WISHES).spec
    assert (spec.control_plane.memory_mib, spec.workers[0].memory_mib, spec.workers[0].count) == (4096, 8192, 3)


def test_a_quarter_of_the_memory_is_left_where_smaller_sizes_do_that() -> None:
    facts = pve_node(memory_gib=32)
    spec = propose(observed(TEMPLATE, pve_nodes=(facts,)), WISHES).spec
    # 4 + 3 x 8 GiB would fit into 31, and would leave next to nothing.
    assert (spec.control_plane.memory_mib, spec.workers[0].memory_mib) == (4096, 4096)
    assert Capacity.of(facts, spec.sizing).free_memory_mib * COMFORT >= 4 * 4096


def test_a_small_host_gets_fewer_workers_rather_than_none() -> None:
    proposal = propose(observed(TEMPLATE, pve_nodes=(pve_node(memory_gib=5, cores=1),)), WISHES)
    spec = proposal.spec
    assert (spec.workers[0].count, spec.workers[0].memory_mib, spec.workers[0].cores) == (2, 1024, 1)
    assert proposal.problems == ()


def test_what_cannot_fit_is_said_with_the_arithmetic() -> None:
    proposal = propose(observed(TEMPLATE, pve_nodes=(pve_node(memory_gib=2),)), WISHES)
    assert len(proposal.problems) == 1
    assert "2048 MiB needed, 1024 MiB free" in proposal.problems[0]


def test_the_template_that_serves_most_proxmox_nodes_is_chosen() -> None:
    three = tuple(pve_node(name) for name in ("pve1", "pve2", "pve3"))
    seen = observed(
        template("old", on="pve1", vmid=8000),
        template("old", on="pve2", vmid=8001),
        template("new", on="pve1", vmid=9000),
        pve_nodes=three,
    )
    assert [str(choice.ref) for choice in template_choices(seen)] == ["old", "new"]
    proposal = propose(seen, WISHES)
    assert proposal.spec.template == TemplateRef(name="old")
    assert "Without it: pve3." in proposal.remarks["nodes"]
    assert "Also here: new." in proposal.remarks["template"][0]


def test_a_tag_is_chosen_where_it_serves_more_nodes_than_any_name() -> None:
    two = (pve_node("pve1"), pve_node("pve2"))
    ours = frozenset({"homelab-k8s-template"})
    seen = observed(
        template("a", on="pve1", vmid=9000, tags=ours), template("b", on="pve2", vmid=9001, tags=ours), pve_nodes=two
    )
    assert propose(seen, WISHES).spec.template == TemplateRef(tag="homelab-k8s-template")


def test_of_equal_templates_ours_is_chosen_and_then_the_newest() -> None:
    ours = template("a", on="pve1", vmid=9000, tags=frozenset({"homelab-k8s-template"}))
    older, newer = template("b", on="pve1", vmid=9001), template("c", on="pve1", vmid=9002)
    assert [str(choice.ref) for choice in template_choices(observed(older, newer, ours))] == ["a", "c", "b"]


def test_an_unusable_template_is_listed_last_with_its_reason_and_never_proposed() -> None:
    seen = observed(template("bad", on="pve1", vmid=9100, agent_enabled=False), template("good", on="pve1", vmid=9000))
    good, bad = template_choices(seen)
    assert (str(good.ref), good.problem) == ("good", "")
    assert bad.problem == "template bad (vmid 9100 on pve1) has no guest agent configured"
    assert "qm set 9100 --agent enabled=1" in bad.remedy
    assert propose(seen, WISHES).spec.template == TemplateRef(name="good")


def test_a_template_that_no_token_can_clone_is_never_proposed() -> None:
    """Proxmox VE refuses the clone itself: only root can set 'usb0' config for real devices."""
    passed = replace(template("stick", on="pve1", vmid=9002), settings=(("usb0", "host=1234:5678"),))
    choices = template_choices(observed(passed, template("plain", on="pve1", vmid=9001)))
    assert [str(choice.ref) for choice in choices if not choice.problem] == ["plain"]
    assert propose(observed(passed), WISHES).spec.template == TemplateRef(image="debian-13")
    (choice,) = template_choices(observed(passed))
    assert "usb0" in choice.problem
    assert "qm set 9002 --delete usb0" in choice.remedy


def test_with_unusable_templates_alone_one_of_ours_is_to_be_built() -> None:
    builds = (replace(pve_node(), storages=(EVERYTHING,)),)
    bad = template("bad", on="pve1", vmid=9100, agent_enabled=False)
    proposal = propose(observed(bad, pve_nodes=builds), WISHES)
    assert proposal.spec.template == TemplateRef(image="debian-13")
    assert "No usable one was found: `up` builds one" in proposal.remarks["template"][0]
    assert proposal.problems == ()


def test_a_proxmox_ve_without_import_content_is_told_with_the_line_to_paste() -> None:
    """As a stock one: `local` has backups, ISOs and container templates, `local-lvm` has disks."""
    local = replace(STORAGE, content=frozenset({"backup", "iso", "vztmpl"}), free_gib=90)
    lvm = replace(STORAGE, name=StorageName("local-lvm"), kind="lvmthin", content=frozenset({"images", "rootdir"}))
    proposal = propose(observed(pve_nodes=(replace(pve_node(), storages=(local, lvm)),)), WISHES)
    assert proposal.problems == (
        (
            "no storage of pve1 takes import content\nas root on a Proxmox node:\n"
            "pvesm set local --content backup,iso,vztmpl,import"
        ),
    )


def test_templates_of_ours_are_named_by_their_image() -> None:
    ours = replace(template("hk8s-debian-13-1", on="pve1", vmid=9100), image="debian-13")
    assert propose(observed(ours), WISHES).spec.template == TemplateRef(image="debian-13")


def test_templates_of_an_image_that_no_name_stands_for_are_named_themselves() -> None:
    """`{image: mine}` would be refused by `up` once that template is gone: there is no such image in the catalogue."""
    ours = replace(template("hk8s-mine-1", on="pve1", vmid=9100), image="mine")
    assert propose(observed(ours), WISHES).spec.template == TemplateRef(name="hk8s-mine-1")


def test_the_names_are_those_of_the_catalogue() -> None:
    assert tuple(catalogue()) == IMAGES


def test_without_any_template_sizes_are_proposed_all_the_same() -> None:
    builds = replace(pve_node(memory_gib=64), storages=(EVERYTHING,))
    proposal = propose(observed(pve_nodes=(builds,)), WISHES)
    assert proposal.spec.workers[0].memory_mib == 8192
    assert proposal.problems == ()
    named = propose(observed(pve_nodes=(pve_node(memory_gib=64),)), replace(WISHES, template=TemplateRef(name="x")))
    assert named.problems == ("this token sees no template",)


def test_full_clones_get_the_roomiest_storage_that_all_nodes_have() -> None:
    one = replace(pve_node("pve1"), storages=(STORAGE, FAST, CEPH))
    two = replace(pve_node("pve2"), storages=(STORAGE, CEPH))
    seen = observed(
        *(template("x", on=name, vmid=9000 + turn, linkable=False) for turn, name in enumerate(("pve1", "pve2"))),
        pve_nodes=(one, two),
    )
    assert propose(seen, WISHES).spec.placement.storage == "ceph"
    assert propose(seen, replace(WISHES, storage=StorageName("local"))).spec.placement.storage == "local"
    linked = observed(TEMPLATE, pve_nodes=(one, two))
    assert propose(linked, WISHES).spec.placement.storage is None


def test_storages_for_all_are_active_take_images_and_count_with_the_least_room() -> None:
    iso = replace(STORAGE, name=StorageName("iso"), content=frozenset({"iso"}))
    asleep = replace(STORAGE, name=StorageName("asleep"), active=False)
    one = replace(pve_node("pve1"), storages=(STORAGE, iso, asleep, FAST))
    two = replace(pve_node("pve2"), storages=(replace(STORAGE, free_gib=7), iso, asleep))
    found: tuple[StorageFacts, ...] = common_storages([one, two])
    assert [(storage.name, storage.free_gib) for storage in found] == [("local", 7)]


def test_another_bridge_is_proposed_only_where_the_templates_is_missing() -> None:
    lacking = replace(pve_node(), bridges=frozenset({"vmbr1", "vmbr2"}))
    proposal = propose(observed(TEMPLATE, pve_nodes=(lacking,)), WISHES)
    assert proposal.spec.network.bridge == "vmbr1"
    assert "pve1 has no bridge vmbr0" in proposal.remarks["bridge"][0]
    assert propose(observed(TEMPLATE), WISHES).spec.network.bridge is None
    hidden = replace(pve_node("pve2"), bridges=frozenset())
    assert common_bridges([lacking, hidden]) == ("vmbr1", "vmbr2")


@given(st.frozensets(st.integers(100, 12_000).map(Vmid), max_size=30))
def test_the_vmids_are_a_thousand_that_nobody_has(used: frozenset[Vmid]) -> None:
    vmids = free_vmids(used)
    assert vmids.last - vmids.first == 999
    assert vmids.first >= 7000
    assert not any(vmid in vmids for vmid in used)


def test_a_cluster_that_is_there_keeps_its_vmids() -> None:
    machine = vm(control_plane(), 1)
    seen = replace(observed(TEMPLATE), vms=(machine,), used_vmids=frozenset({machine.vmid, TEMPLATE.vmid}))
    proposal = propose(seen, WISHES)
    assert machine.vmid in proposal.spec.placement.vmids
    assert proposal.remarks["vmids"] == ("The cluster has 1 machine already; their vmids are in this range.",)
    other = propose(seen, replace(WISHES, cluster=ClusterName("other"))).spec.placement.vmids
    assert machine.vmid not in other


def test_without_sys_audit_nothing_is_told_as_room() -> None:
    blind = replace(pve_node(), cores=0, memory_mib=0)
    found = propose(observed(TEMPLATE, pve_nodes=(blind,)), WISHES)
    remarks = str(found.remarks)
    assert ("lacks Sys.Audit" in remarks, "do not fit" in remarks) == (True, False)
    assert any("Sys.Audit on /nodes/pve1" in problem for problem in found.problems)
    row = next(
        line
        for line in survey_text(Survey(observed=observed(pve_nodes=(blind,)), templates=(), missing=())).splitlines()
        if line.startswith("pve1")
    )
    assert row.split()[1:4] == ["unknown"] * 3
