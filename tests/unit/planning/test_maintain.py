"""`maintain` decides purely: when its window is open, which release it takes, which machines are older."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.inventory.document import Scalar
from bootstrap.inventory.keys.maintain import WINDOW
from bootstrap.inventory.problems import Problems, Where
from bootstrap.k3s.versions import K3sVersion, Minor
from bootstrap.model.cluster import ClusterSpec, TemplateRef
from bootstrap.model.ids import MachineName, PveNodeName, Vmid
from bootstrap.model.machine import CloneAsked, MachineRecord, RecordState, Role
from bootstrap.model.observed import KubeNode, Observed, TemplateFacts, VmRecord
from bootstrap.model.settings.maintain import DAY_MIN, MaintainSpec, UpgradePolicy, Window
from bootstrap.planning.verbs.maintain import (
    Offer,
    ReplaceMachine,
    Task,
    Upkeep,
    allowed_release,
    newest_wanted,
    own_templates,
    plan_upkeep,
)
from bootstrap.planning.view import ClusterView
from bootstrap.records.vms.template import RECIPE_VERSION, CloudImage, Recipe
from tests.fakes.specs import cluster
from tests.fakes.world import PVE1, TEMPLATE, pve_node
from tests.fakes.world.facts import PVE_9

MONDAY = datetime(2025, 3, 3)
MINUTES = st.integers(0, 7 * DAY_MIN - 1)
BERLIN = ZoneInfo("Europe/Berlin")


@st.composite
def windows(draw: st.DrawFn) -> Window:
    begin, end = draw(st.lists(st.integers(0, DAY_MIN - 1), min_size=2, max_size=2, unique=True))
    return Window(days=frozenset(draw(st.sets(st.integers(0, 6), min_size=1))), begin_min=begin, end_min=end)


@given(windows(), MINUTES)
def test_a_window_is_open_from_its_beginning_on_each_of_its_days_to_its_end(window: Window, minute: int) -> None:
    """Counted otherwise than by the code: as minutes of a week that goes round."""
    lasts = (window.end_min - window.begin_min) % DAY_MIN
    since = [(minute - day * DAY_MIN - window.begin_min) % (7 * DAY_MIN) for day in window.days]
    assert window.is_open(MONDAY + timedelta(minutes=minute)) == any(each < lasts for each in since)


@given(windows())
def test_a_window_is_read_back_as_it_is_written(window: Window) -> None:
    problems = Problems()
    assert WINDOW.read(Scalar(text=str(window)), Where(path="window"), problems) == window
    assert len(problems) == 0


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Fri-Mon 01:00-02:00", "Mon,Fri,Sat,Sun 01:00-02:00"),
        ("Mon-Fri,Sun 23:00-04:00", "Mon,Tue,Wed,Thu,Fri,Sun 23:00-04:00"),
        ("02:00-05:00", "02:00-05:00"),
    ],
)
def test_ranges_of_days_may_last_over_the_weeks_end(text: str, meant: str) -> None:
    assert str(WINDOW.read(Scalar(text=text), Where(path="window"), Problems())) == meant


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("sunday 2:00 - 5:00", "write Sun 02:00-05:00"),
        ("Sun 22:00-24:00", "write Sun 22:00-00:00"),
        ("Sun 02:00-02:00", "leave window out for always"),
        ("whenever", ""),
    ],
)
def test_a_window_of_another_form_is_refused_with_what_was_meant(text: str, hint: str) -> None:
    problems = Problems()
    assert WINDOW.read(Scalar(text=text), Where(path="maintain.window"), problems) is None
    (problem,) = problems.in_order()
    assert (problem.path, problem.hint) == ("maintain.window", hint)


@pytest.mark.parametrize(
    ("window", "date", "minutes"),
    [
        ("02:30-02:45", datetime(2025, 3, 30, tzinfo=BERLIN), 0),  # the hour that is left out
        ("02:30-02:45", datetime(2025, 10, 26, tzinfo=BERLIN), 30),  # the hour that comes twice
        ("01:00-04:00", datetime(2025, 3, 30, tzinfo=BERLIN), 120),
        ("23:00-04:00", datetime(2025, 3, 31, tzinfo=BERLIN), 300),
    ],
)
def test_where_the_clock_is_changed_the_wall_counts(window: str, date: datetime, minutes: int) -> None:
    """Each minute of real time from one midnight to the next, as `maintain` sees it: from Unix seconds."""
    read = WINDOW.read(Scalar(text=window), Where(path=""), Problems())
    assert read is not None
    begin, end = date.astimezone(UTC), (date + timedelta(days=1)).astimezone(UTC)
    moments = (begin + timedelta(minutes=minute) for minute in range(int((end - begin).total_seconds()) // 60))
    assert sum(read.is_open(each.astimezone(BERLIN)) for each in moments) == minutes


@st.composite
def releases(draw: st.DrawFn) -> K3sVersion:
    minor = Minor(1, draw(st.integers(33, 36)))
    return K3sVersion(minor=minor, patch=draw(st.integers(0, 3)), stage=3, number=-1, k3s=draw(st.integers(1, 2)))


@given(st.sampled_from(UpgradePolicy), st.lists(releases(), max_size=4), releases(), st.one_of(st.none(), releases()))
def test_no_release_is_beyond_the_channel_or_older_than_what_runs(
    policy: UpgradePolicy, running: list[K3sVersion], pointed: K3sVersion, newest: K3sVersion | None
) -> None:
    found = allowed_release(policy, running, pointed, newest)
    if found is None:
        return
    assert policy is not UpgradePolicy.NEVER
    assert min(running) < found <= pointed
    assert found >= max(running)
    if policy is UpgradePolicy.PATCH:
        assert found.minor == max(running).minor


@given(st.lists(releases(), min_size=1, max_size=4), releases(), releases())
def test_patches_of_the_running_minor_are_taken_when_the_channel_has_moved_on(
    running: list[K3sVersion], pointed: K3sVersion, newest: K3sVersion
) -> None:
    wanted = newest_wanted(UpgradePolicy.PATCH, running, pointed)
    assert wanted == (max(running).minor if pointed.minor > max(running).minor else None)
    if wanted is not None and newest.minor == wanted and newest > max(running):
        assert allowed_release(UpgradePolicy.PATCH, running, pointed, newest) == newest


NOW_S = 1_750_000_000
DAY_S = 86400
AT = datetime(2025, 6, 15, 12, tzinfo=UTC)
IMAGE = CloudImage(name="debian-13", url="https://images.test/debian-13.qcow2", checksum="ab" * 64)
OTHER = replace(IMAGE, checksum="cd" * 64)
K3S = "v1.33.3+k3s1"
SPEC = replace(cluster(servers=3, agents=2), template=TemplateRef(image="debian-13", k3s=K3S))


def template(made: int, *, vmid: int = 7998, image: CloudImage = IMAGE, pve: PveNodeName = PVE1) -> TemplateFacts:
    return replace(
        TEMPLATE, vmid=Vmid(vmid), pve_node=pve, image=image.name, k3s=K3S, made=made, recipe_version=RECIPE_VERSION,
        recipe=Recipe(image=image, k3s=K3S).hash,
    )  # fmt: skip


def seen(*made: TemplateFacts, asked: Mapping[str, int | None], sqlite: bool = False) -> Observed:
    """Machines by when their clones were asked for; None for one of an earlier release."""
    vms, nodes = [], []
    for number, (name, asked_s) in enumerate(asked.items()):
        role = Role.CONTROL_PLANE if "-cp-" in name else Role.WORKER
        pool = (SPEC.control_plane if role is Role.CONTROL_PLANE else SPEC.workers[0]).name
        vmid = Vmid(7000 + number)
        record = MachineRecord(
            cluster=SPEC.name, machine=MachineName(name), role=role, pool=pool, vmid=vmid, state=RecordState.MADE,
            cloned=CloneAsked(template=Vmid(7998), asked_s=asked_s) if asked_s is not None else None,
        )  # fmt: skip
        vms.append(VmRecord(vmid=vmid, name=name, pve_node=PVE1, running=True, record=record, doubt="",
                            tags=frozenset({"homelab-k8s"})))  # fmt: skip
        roles = (
            frozenset({"control-plane", *(() if sqlite else ("etcd",))}) if role is Role.CONTROL_PLANE else frozenset()
        )
        nodes.append(KubeNode(name=MachineName(name), ready=True, version=K3S, roles=frozenset(roles)))
    return Observed(
        version=PVE_9, pve_nodes=(pve_node("pve1"),), templates=made, vms=tuple(vms), kube_nodes=tuple(nodes)
    )


def decided(spec: ClusterSpec, observed: Observed, offer: Offer | None = None, *, any_time: bool = False) -> Upkeep:
    view = ClusterView(spec, observed)
    return plan_upkeep(view, offer or Offer(image=IMAGE), now_s=NOW_S, at=AT, any_time=any_time)


def kinds(tasks: tuple[Task, ...]) -> list[str]:
    return [task.kind for task in tasks]


MACHINES = ("demo-cp-1", "demo-cp-2", "demo-cp-3", "demo-workers-1", "demo-workers-2")


@given(st.lists(st.one_of(st.none(), st.integers(0, 100)), min_size=5, max_size=5), st.integers(0, 100))
def test_machines_cloned_before_the_template_was_built_are_replaced_workers_first(
    asked: list[int | None], made: int
) -> None:
    upkeep = decided(SPEC, seen(template(made), asked=dict(zip(MACHINES, asked, strict=True))))
    older = {name for name, each in zip(MACHINES, asked, strict=True) if each is None or each < made}
    replaced = [task.name for task in upkeep.changes if isinstance(task, ReplaceMachine)]
    assert replaced == [name for name in (*MACHINES[3:], *MACHINES[:3]) if name in older]
    assert kinds(upkeep.changes) == ["replace"] * len(older)


def test_a_new_image_and_age_each_have_the_template_built_and_all_machines_replaced() -> None:
    made = NOW_S - 10 * DAY_S
    observed = seen(template(made), asked=dict.fromkeys(MACHINES, made + 100))
    assert decided(SPEC, observed).changes == ()
    first = decided(SPEC, observed, Offer(image=OTHER)).changes
    assert str(first[0]) == "build the template on pve1: there is a new image of debian-13"
    assert kinds(first) == ["template", *["replace"] * 5]
    aging = replace(SPEC, maintain=MaintainSpec(template_max_age_days=10))
    assert str(decided(aging, observed).changes[0]) == "build the template on pve1: the present one is 10 days old"
    assert decided(replace(SPEC, maintain=MaintainSpec(template_max_age_days=11)), observed).changes == ()


def test_without_any_template_it_is_built_and_with_a_users_own_nothing_is() -> None:
    asked = dict.fromkeys(MACHINES, NOW_S - 100)
    assert kinds(decided(SPEC, seen(asked=asked)).changes) == ["template", *["replace"] * 5]
    own = replace(SPEC, template=TemplateRef(name="debian-12"))
    upkeep = decided(own, seen(TEMPLATE, asked=asked), Offer())
    assert upkeep.changes == ()
    assert any("not one that homelab-k8s builds" in note for note in upkeep.notes)


def test_a_server_with_sqlite_is_left_alone_with_a_word() -> None:
    asked = dict.fromkeys(("demo-cp-1", "demo-workers-1"), 0)
    upkeep = decided(SPEC, seen(template(1), asked=asked, sqlite=True))
    assert [str(task) for task in upkeep.changes] == ["replace demo-workers-1"]
    assert any("1 server with sqlite cannot be replaced" in note for note in upkeep.notes)


@given(windows(), MINUTES)
def test_nothing_but_the_backup_is_done_outside_of_the_window(window: Window, minute: int) -> None:
    spec = replace(SPEC, maintain=MaintainSpec(window=window))
    observed = seen(template(1), asked=dict.fromkeys(MACHINES, 0))
    at = MONDAY + timedelta(minutes=minute)
    upkeep = plan_upkeep(ClusterView(spec, observed), Offer(image=OTHER), now_s=NOW_S, at=at, any_time=False)
    assert kinds(upkeep.tasks)[0] == "backup"
    assert bool(upkeep.changes) == window.is_open(at)
    assert any("waiting for it" in note for note in upkeep.notes) != window.is_open(at)
    assert decided(spec, observed, Offer(image=OTHER), any_time=True).changes


def test_of_two_templates_the_one_that_was_built_last_counts_whatever_its_vmid() -> None:
    """A range of vmids is used up some day, and the next template gets a lower one."""
    observed = seen(template(50, vmid=7998), template(100, vmid=7901), asked=dict.fromkeys(MACHINES, 70))
    assert {one.vmid for one in own_templates(ClusterView(SPEC, observed)).values()} == {7901}
    assert len(decided(SPEC, observed).changes) == 5
