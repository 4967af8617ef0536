"""`rebuild` over an in-memory world: nothing goes before all that the new machines need is sure, cut off anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.locked.rebuild_state import read_rebuild, write_rebuild
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.rebuild import Rebuild
from bootstrap.commands.verbs.restore import Restore
from bootstrap.commands.verbs.up import Up
from bootstrap.commands.verbs.upgrade import Upgrade
from bootstrap.errors import ArtifactError, HomelabError, HypervisorError, PreflightError
from bootstrap.events import Event, Warned
from bootstrap.model.cluster import BuildPolicy, ClusterSpec, TemplateRef
from bootstrap.records.state.rebuild_note import Stage
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import World
from tests.fakes.world.facts import EVERYTHING, VERSION

OLD, NEW, NEWEST = VERSION, "v1.33.7+k3s1", "v1.33.9+k3s1"


def stating(version: str | None, spec: ClusterSpec | None = None) -> ClusterSpec:
    """An inventory that states a k3s version."""
    spec = spec or cluster(1, 2)
    return replace(spec, k3s=replace(spec.k3s, version=version))


def built(spec: ClusterSpec) -> World:
    world = World()
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    world.journal.clear()
    return world


def upgraded(spec: ClusterSpec) -> World:
    """A cluster that has been upgraded from the inventory's version to a newer one."""
    world = built(spec)
    verb_options = Upgrade(to=NEW)
    plan = verb_options.plan(spec, world.ports)
    verb_options.run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    world.journal.clear()
    return world


def rebuild(world: World, spec: ClusterSpec, verb_options: Rebuild) -> list[Event]:
    told: list[Event] = []
    plan = verb_options.plan(spec, world.ports)
    verb_options.run(plan, spec, world.ports, sink=told.append, options=RunOptions())
    return told


def up(world: World, spec: ClusterSpec) -> list[str]:
    told: list[Event] = []
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=told.append, options=RunOptions())
    return [event.message for event in told if isinstance(event, Warned)]


def dying(world: World, verb: str, *, nth: int = 1) -> None:
    """Have the run die right after the nth call of a verb."""
    seen = []

    def on_call(call: str) -> None:
        if call.startswith(verb):
            seen.append(call)
        if len(seen) >= nth:
            raise HypervisorError("died")

    world.on_call = on_call


def alive(world: World) -> None:
    world.on_call = lambda _call: None


def untouched(world: World) -> bool:
    return not [call for call in world.journal if call.split()[0] in ("stop", "destroy", "configure", "snapshot")]


def versions(world: World) -> set[str]:
    return {node.version for node in world.kube_nodes.values()}


def test_after_an_upgrade_an_inventory_with_the_old_version_is_refused_before_anything_goes(tmp_path: Path) -> None:
    world = upgraded(stating(OLD))
    for verb_options in (Rebuild(), Rebuild(keep_identity=True), Rebuild(latest_to=tmp_path)):
        with pytest.raises(PreflightError, match=f"{OLD.replace('+', '.')} is older than") as caught:
            verb_options.plan(stating(OLD), world.ports)
        assert f"k3s: {{version: {NEW}}}" in caught.value.resolution
    assert untouched(world)
    rebuild(world, stating(NEW), Rebuild(latest_to=tmp_path))
    assert versions(world) == {NEW}
    assert len(world.kube_nodes) == 3


def test_what_is_named_for_this_rebuild_may_be_older_unless_newer_data_comes_back(tmp_path: Path) -> None:
    world = upgraded(stating(OLD))
    rebuild(world, stating(OLD), Rebuild(older_is_meant=True))
    assert versions(world) == {OLD}
    world = upgraded(stating(OLD))
    with pytest.raises(PreflightError, match="older than"):
        Rebuild(latest_to=tmp_path, older_is_meant=True).plan(stating(OLD), world.ports)


def test_a_snapshot_of_a_newer_k3s_is_refused_or_taken_with_its_own_version(tmp_path: Path) -> None:
    world = upgraded(stating(OLD))
    rebuild(world, stating(None), Rebuild(latest_to=tmp_path))
    (file,) = [path for path in tmp_path.iterdir() if not path.name.endswith((".json", ".token"))]
    rebuild(world, stating(OLD), Rebuild(older_is_meant=True))
    world.journal.clear()
    with pytest.raises(PreflightError, match="was taken with") as caught:
        Rebuild(snapshot=file).plan(stating(OLD), world.ports)
    assert "--k3s-version" in caught.value.resolution
    with pytest.raises(PreflightError, match="was taken with") as caught:
        Restore(snapshot=str(file), directory=tmp_path).plan(stating(OLD), world.ports)
    assert f"upgrade --to {NEW}" in caught.value.resolution
    assert untouched(world)
    rebuild(world, stating(None), Rebuild(snapshot=file))
    assert versions(world) == {NEW}


@pytest.mark.parametrize("damage", ["changed", "gone", "another"])
def test_a_snapshot_that_cannot_be_restored_is_refused_before_anything_goes(tmp_path: Path, damage: str) -> None:
    world = built(stating(None))
    rebuild(world, stating(None), Rebuild(latest_to=tmp_path))
    (file,) = [path for path in tmp_path.iterdir() if not path.name.endswith((".json", ".token"))]
    note = file.with_name(f"{file.name}.json")
    if damage == "changed":
        file.write_text("something else")
    elif damage == "gone":
        file.unlink()
    else:
        note.write_text(note.read_text().replace('"demo"', '"other"'))
    world.journal.clear()
    with pytest.raises(PreflightError):
        Rebuild(snapshot=file).plan(stating(None), world.ports)
    assert untouched(world)


def test_a_release_that_can_no_longer_be_fetched_is_missed_before_anything_goes() -> None:
    world = built(stating(OLD))
    world.gone_releases.add(OLD)
    with pytest.raises(ArtifactError, match="there is no k3s"):
        Rebuild().plan(stating(OLD), world.ports)
    assert untouched(world)


def test_a_template_that_is_gone_and_not_to_be_built_is_missed_before_anything_goes() -> None:
    world = built(stating(None))
    world.templates.clear()
    with pytest.raises(PreflightError, match="template"):
        Rebuild().plan(stating(None), world.ports)
    assert untouched(world)


@pytest.mark.parametrize("policy", list(BuildPolicy))
def test_a_template_that_is_missing_and_ours_to_build_is_built_where_that_is_allowed(policy: BuildPolicy) -> None:
    spec = stating(None)
    world = built(spec)
    world.pve_nodes = [replace(facts, storages=(EVERYTHING,)) for facts in world.pve_nodes]
    world.templates.clear()
    wanted = replace(spec, template=TemplateRef(image="debian-13", build=policy))
    if policy is BuildPolicy.NEVER:
        with pytest.raises(PreflightError):
            Rebuild().plan(wanted, world.ports)
        assert untouched(world)
        return
    rebuild(world, wanted, Rebuild())
    assert len(world.kube_nodes) == 3


def test_where_the_inventory_states_no_version_a_channel_that_is_behind_does_not_go_back() -> None:
    world = upgraded(stating(None))
    world.channels["stable"] = OLD
    rebuild(world, stating(None), Rebuild())
    assert versions(world) == {NEW}


def test_a_rebuild_that_goes_on_takes_the_version_that_the_inventory_states_now(tmp_path: Path) -> None:
    world = built(stating(OLD))
    dying(world, "clone")
    with pytest.raises(HomelabError):
        rebuild(world, stating(OLD), Rebuild(latest_to=tmp_path))
    alive(world)
    noted = read_rebuild(DEMO, world.ports)
    assert noted is not None
    assert (noted.stage, noted.version) == (Stage.BUILDING, OLD)
    for verb in (Up(), Rebuild()):
        plan = verb.plan(stating(NEW), world.ports)
        assert any(f"started with k3s {OLD}; the inventory says {NEW} now" in note for note in plan.notes)
    rebuild(world, stating(NEW), Rebuild())
    assert versions(world) == {NEW}
    assert "restore demo-cp-1" in world.journal
    assert not world.state[DEMO, "rebuild"]


def test_a_note_of_too_old_a_version_is_no_dead_end(tmp_path: Path) -> None:
    """As a rebuild before this was checked has left it: no machine, a newer snapshot, and the old version noted."""
    world = upgraded(stating(OLD))
    dying(world, "clone")
    with pytest.raises(HomelabError):
        rebuild(world, stating(NEW), Rebuild(latest_to=tmp_path))
    alive(world)
    noted = read_rebuild(DEMO, world.ports)
    assert noted is not None
    write_rebuild(DEMO, replace(noted, version=OLD), world.ports)
    for version in (None, OLD):
        with pytest.raises(PreflightError, match="older than") as caught:
            Up().plan(stating(version), world.ports)
        assert NEW in caught.value.resolution
    up(world, stating(NEW))
    assert versions(world) == {NEW}


def test_rebuild_again_with_another_snapshot_takes_that(tmp_path: Path) -> None:
    world = built(stating(None))
    first, second = tmp_path / "first", tmp_path / "second"
    rebuild(world, stating(None), Rebuild(latest_to=first))
    (file,) = [path for path in first.iterdir() if not path.name.endswith((".json", ".token"))]
    dying(world, "destroy", nth=3)
    with pytest.raises(HomelabError):
        rebuild(world, stating(None), Rebuild(latest_to=second))
    alive(world)
    for path in second.iterdir():
        path.unlink()
    with pytest.raises(PreflightError, match="no longer exists") as caught:
        Rebuild().plan(stating(None), world.ports)
    assert "--restore FILE" in caught.value.resolution
    rebuild(world, stating(None), Rebuild(snapshot=file))
    assert len(world.kube_nodes) == 3
    assert cluster_status(stating(None), world.ports).healthy


def test_what_it_is_too_late_for_is_said(tmp_path: Path) -> None:
    world = built(stating(None))
    dying(world, "clone")
    with pytest.raises(HomelabError):
        rebuild(world, stating(None), Rebuild())
    alive(world)
    for verb_options, said in (
        (Rebuild(keep_identity=True), "keep-identity"),
        (Rebuild(latest_to=tmp_path), "restore"),
    ):
        with pytest.raises(PreflightError, match=said):
            verb_options.plan(stating(None), world.ports)


@dataclass(frozen=True)
class Cut:
    """Where a rebuild dies, and how it went on."""

    verb: str
    nth: int


@pytest.mark.parametrize(
    "cut", [Cut("snapshot", 1), *(Cut("destroy", n) for n in (1, 2, 3)), Cut("clone", 1), Cut("install", 1)], ids=str
)
@pytest.mark.parametrize("verb", ["rebuild", "up"])
def test_cut_off_anywhere_it_never_ends_in_a_cluster_without_its_data(tmp_path: Path, cut: Cut, verb: str) -> None:
    spec = stating(None)
    world = built(spec)
    original = world.vm_named("demo-cp-1")
    dying(world, cut.verb, nth=cut.nth)
    with pytest.raises(HomelabError):
        rebuild(world, spec, Rebuild(keep_identity=True, latest_to=tmp_path))
    alive(world)
    world.journal.clear()
    is_stuck = verb == "up" and world.vms and not world.vm_named("demo-cp-1") and is_tearing_down(world)
    if is_stuck:
        with pytest.raises(PreflightError, match="interrupted") as caught:
            up(world, spec)
        assert "`homelab-k8s rebuild` continues it" in caught.value.resolution
        assert world.journal == []
    if verb == "rebuild" or is_stuck:
        rebuild(world, spec, Rebuild(keep_identity=True, latest_to=tmp_path))
    else:
        gives_up = is_tearing_down(world) and original in world.vms.values()
        assert gives_up == any("abandons it" in line for line in up(world, spec))
    assert len(world.kube_nodes) == 3
    assert world.vm_named("demo-cp-1") is original or "restore demo-cp-1" in world.journal
    assert cluster_status(spec, world.ports).healthy
    assert Up().plan(spec, world.ports).empty


def is_tearing_down(world: World) -> bool:
    noted = read_rebuild(DEMO, world.ports)
    return noted is not None and noted.stage is Stage.TEARING_DOWN


def test_with_the_state_directory_lost_it_is_an_ordinary_up(tmp_path: Path) -> None:
    spec = stating(None)
    world = built(spec)
    dying(world, "destroy", nth=1)
    with pytest.raises(HomelabError):
        rebuild(world, spec, Rebuild(latest_to=tmp_path))
    alive(world)
    world.state.clear()
    up(world, spec)
    assert len(world.kube_nodes) == 3
    assert cluster_status(spec, world.ports).healthy


def test_a_note_that_is_left_over_is_forgotten_by_an_up_that_finds_nothing_to_do() -> None:
    spec = stating(None)
    world = built(spec)
    dying(world, "destroy", nth=1)
    with pytest.raises(HomelabError):
        rebuild(world, spec, Rebuild())
    alive(world)
    noted = read_rebuild(DEMO, world.ports)
    assert noted is not None
    up(world, spec)
    write_rebuild(DEMO, noted, world.ports)
    plan = Up().plan(spec, world.ports)
    assert not plan.lanes
    assert not plan.empty
    up(world, spec)
    assert not world.state[DEMO, "rebuild"]
    assert Up().plan(spec, world.ports).empty


def test_cut_off_right_after_the_last_machine_has_gone_up_brings_the_data_back(tmp_path: Path) -> None:
    spec = stating(None)
    world = built(spec)
    dying(world, "clone")
    with pytest.raises(HomelabError):
        rebuild(world, spec, Rebuild(latest_to=tmp_path))
    alive(world)
    world.vms.clear()
    noted = read_rebuild(DEMO, world.ports)
    assert noted is not None
    write_rebuild(DEMO, replace(noted, stage=Stage.TEARING_DOWN), world.ports)
    up(world, spec)
    assert "restore demo-cp-1" in world.journal


def test_a_server_that_was_off_keeps_its_newer_k3s_and_it_is_said_what_to_edit() -> None:
    world = upgraded(stating(OLD))
    for vm in world.vms.values():
        vm.running, vm.unit = False, ""
    told = up(world, stating(OLD))
    assert versions(world) == {NEW}
    assert any(f"keeps k3s {NEW}" in line and f"`k3s: {{version: {NEW}}}`" in line for line in told)


def test_while_no_api_answers_the_servers_themselves_tell_what_they_could_read(tmp_path: Path) -> None:
    world = upgraded(stating(OLD))
    rebuild(world, stating(None), Rebuild(latest_to=tmp_path))
    (file,) = [path for path in tmp_path.iterdir() if not path.name.endswith((".json", ".token"))]
    rebuild(world, stating(OLD), Rebuild(older_is_meant=True))
    server = world.vm_named("demo-cp-1")
    assert server is not None
    server.unit = ""
    world.journal.clear()
    with pytest.raises(PreflightError, match="was taken with"):
        Restore(snapshot=str(file), directory=tmp_path).plan(stating(OLD), world.ports)
    assert untouched(world)
