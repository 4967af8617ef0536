"""Two who act on one cluster: one works, the other says who does; the dead are taken over; nothing is left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.locked.lock import ClusterLock, LockTimes
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import ClusterBusyError, HomelabError, InterruptedRunError, PreflightError
from bootstrap.events import Event, Told, Warned
from bootstrap.model.cluster import ClusterSpec, VmidRange
from bootstrap.model.ids import ClusterName, Vmid
from bootstrap.ports import Ports
from bootstrap.records.vms.lock import LockRecord, parse_lock
from tests.fakes.clock import SteppingClock
from tests.fakes.specs import cluster
from tests.fakes.world import PVE1, FakeProcesses, FakeVm, World
from tests.fakes.world.markers import lock_text, marker_vm

LAST = Vmid(7999)
FAST = LockTimes(beat_s=0.01)
HELD = LockRecord(
    cluster=ClusterName("demo"),
    who="you@laptop",
    pid=42,
    process="laptop/42",
    run="abc",
    command="up",
    since="2025-03-01 11:00:00 UTC",
    beat=3,
)


def hold(world: World, record: LockRecord = HELD) -> FakeVm:
    """Leave a marker as its holder would."""
    world.vms[LAST] = marker_vm(record)
    return world.vms[LAST]


def beating(world: World, vm: FakeVm) -> None:
    """Let the holder live: its counter grows every ten looks, one of which takes a second."""
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        record = parse_lock(vm.description)
        if record is not None and looks % 10 == 0:
            vm.description = lock_text(vm, replace(record, beat=record.beat + 1))

    world.on_look = look


def up(world: World, ports: Ports | None = None, spec: ClusterSpec | None = None) -> list[Event]:
    events: list[Event] = []
    ports, spec = ports or world.ports, spec or cluster(agents=1)
    Up().run(Up().plan(spec, ports), spec, ports, sink=events.append, options=RunOptions())
    return events


def messages(events: list[Event]) -> str:
    return "\n".join(event.message for event in events if isinstance(event, Warned | Told))


def test_nothing_of_the_lock_is_left_by_up_and_down() -> None:
    world = World()
    up(world)
    assert sorted(world.vms) == [7000, 7001]
    ports, spec = world.ports, cluster(agents=1)
    Down().run(Down().plan(spec, ports), spec, ports, sink=lambda _event: None, options=RunOptions())
    assert world.vms == {}


def test_while_up_runs_the_marker_says_who_since_when_and_doing_what() -> None:
    world = World()
    seen: list[LockRecord | None] = []

    def look(call: str) -> None:
        if call == "start demo-cp-1":
            seen.append(parse_lock(world.vms[LAST].description))
            status = cluster_status(cluster(agents=1), world.ports)
            assert "lock" not in str(status.problems), "the marker is no stranger, and status is not hindered"

    world.on_call = look
    events = up(world)
    assert seen[0] is not None
    assert str(seen[0]) == "me@here (process 1), running `up` since 2025-03-01 12:00:00 UTC by its clock"
    assert "left alone" not in messages(events)


def test_a_holder_whose_heart_beats_is_named_and_nothing_is_touched() -> None:
    world = World()
    beating(world, hold(world))
    with pytest.raises(ClusterBusyError, match="another run is in progress on demo; nothing was changed") as busy:
        up(world)
    assert (
        busy.value.details == "held by you@laptop (process 42), running `up` since 2025-03-01 11:00:00 UTC by its clock"
    )
    assert busy.value.exit_code == 1
    assert busy.value.resolution
    assert (world.journal, list(world.vms), world.state) == ([], [LAST], {})


def test_a_holder_on_this_machine_that_lives_is_named_without_waiting() -> None:
    world = World()
    hold(world, replace(HELD, process="here/42"))
    with pytest.raises(ClusterBusyError):
        up(world)
    assert world.clock.now_s() == 0


def test_a_holder_on_this_machine_that_is_dead_is_taken_over_at_once() -> None:
    world = World(dead={"here/42"})
    hold(world, replace(HELD, process="here/42"))
    events = up(world)
    assert "you@laptop (process 42), running `up` since 2025-03-01 11:00:00 UTC by its clock crashed" in messages(
        events
    )
    assert "checking whether" not in messages(events)
    assert sorted(world.vms) == [7000, 7001]


def test_a_holder_elsewhere_without_a_heartbeat_is_taken_over_after_a_watch_aloud() -> None:
    world = World()
    hold(world)
    events = up(world)
    assert "demo is held by you@laptop" in messages(events)
    assert "its lock was taken over" in messages(events)
    assert world.clock.now_s() >= 30
    assert sorted(world.vms) == [7000, 7001]


def test_a_holder_that_ends_while_it_is_watched_leaves_the_way_free() -> None:
    world = World()
    hold(world)
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 4:
            world.vms.pop(LAST)

    world.on_look = look
    events = up(world)
    assert "taken over" not in messages(events)
    assert sorted(world.vms) == [7000, 7001]


def test_of_two_who_take_over_a_dead_holder_one_wins_and_the_other_names_it() -> None:
    world = World(dead={"here/42"})
    hold(world, replace(HELD, process="here/42"))
    start = threading.Barrier(8)
    ends: list[str] = []

    def take(number: int) -> None:
        ports = replace(world.ports, processes=FakeProcesses(world, "me@here", 100 + number))
        lock = ClusterLock(cluster(), ports, command="up", sink=lambda _event: None, stop=threading.Event(), times=FAST)
        start.wait()
        try:
            with lock:
                ends.append("held")
                assert all(refused.acquire(timeout=60) for _ in range(7))
        except ClusterBusyError as error:
            ends.append(error.details.partition(",")[0])
            refused.release()

    refused = threading.Semaphore(0)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, range(8)))
    assert ends.count("held") == 1
    assert {end.partition(" (")[0] for end in ends if end != "held"} == {"held by me@here"}
    assert world.vms == {}


def test_up_that_had_to_wait_plans_anew() -> None:
    """Between plan and lock somebody else has built the cluster: nothing is cloned twice."""
    world = World()
    spec, ports = cluster(agents=1), world.ports
    stale = Up().plan(spec, ports)
    up(world)
    world.journal.clear()
    events: list[Event] = []
    Up().run(stale, spec, ports, sink=events.append, options=RunOptions())
    assert [call for call in world.journal if call.startswith("clone")] == []
    assert "demo changed since the plan was made" in messages(events)
    assert sorted(world.vms) == [7000, 7001]


def test_down_refuses_machines_that_nobody_has_confirmed() -> None:
    world = World()
    spec, ports = cluster(agents=1), world.ports
    up(world, spec=cluster(agents=0))
    stale = Down().plan(spec, ports)
    up(world)
    with pytest.raises(HomelabError, match="would now remove other machines") as refusal:
        Down().run(stale, spec, ports, sink=lambda _event: None, options=RunOptions())
    assert refusal.value.details == "demo-workers-1"
    assert sorted(world.vms) == [7000, 7001]


def test_a_marker_left_behind_makes_up_and_down_something_to_do() -> None:
    world = World(dead={"laptop/42"})
    up(world)
    for verb in (Up(), Down()):
        hold(world, replace(HELD, process="here/42"))
        world.dead.add("here/42")
        plan = verb.plan(cluster(agents=1), world.ports)
        assert not plan.empty
        verb.run(plan, cluster(agents=1), world.ports, sink=lambda _event: None, options=RunOptions())
        assert LAST not in world.vms


def test_down_removes_a_marker_that_is_all_there_is() -> None:
    world = World(dead={"here/42"})
    hold(world, replace(HELD, process="here/42"))
    plan = Down().plan(cluster(), world.ports)
    assert not plan.empty
    Down().run(plan, cluster(), world.ports, sink=lambda _event: None, options=RunOptions())
    assert world.vms == {}


def test_a_dry_run_and_an_up_with_nothing_to_do_take_no_lock() -> None:
    world = World()
    up(world)
    looks: list[int] = []
    world.on_look = lambda: looks.append(1)
    assert Up().plan(cluster(agents=1), world.ports).empty
    assert looks == []


@pytest.mark.parametrize("what", ["a failure", "an interruption", "a bug"])
def test_the_marker_goes_however_a_run_ends(what: str) -> None:
    class BugError(Exception):
        pass

    world = World(fail_clone={"demo-cp-1"} if what == "a failure" else set())
    options = RunOptions()

    def act(call: str) -> None:
        if call == "start demo-cp-1" and what == "an interruption":
            options.stop.set()
        if call == "start demo-cp-1" and what == "a bug":
            raise BugError

    world.on_call = act
    spec, ports = cluster(agents=0), world.ports
    with pytest.raises((HomelabError, BugError)):
        Up().run(Up().plan(spec, ports), spec, ports, sink=lambda _event: None, options=options)
    assert LAST not in world.vms


def test_machines_never_get_the_markers_vmid() -> None:
    spec = replace(
        cluster(agents=2), placement=replace(cluster().placement, vmids=VmidRange(first=Vmid(7000), last=Vmid(7002)))
    )
    with pytest.raises(PreflightError, match="7000-7002 is exhausted") as refusal:
        Up().plan(spec, World().ports)
    assert "7002 is reserved for the marker VM" in refusal.value.details
    assert Vmid(7999) in Up().plan(cluster(), World().ports).reserved_vmids


def test_something_else_at_the_markers_vmid_is_named_before_anything_is_touched() -> None:
    world = World()
    world.vms[LAST] = FakeVm(vmid=LAST, name="precious", pve_node=PVE1)
    with pytest.raises(PreflightError, match="vmid 7999, reserved for the marker VM of demo, is in use") as refusal:
        Up().plan(cluster(), world.ports)
    assert "VM 7999 (precious) on pve1 has it" in refusal.value.details
    assert "proxmox.vmids (7000-7999)" in refusal.value.resolution


def test_a_vmid_that_vanished_from_sight_is_told_as_such() -> None:
    """A container has it: Proxmox VE refuses to make the marker, and no VM is there to be read."""
    world = World()
    plan = Up().plan(cluster(), world.ports)
    hold(world)

    class Blind(type(world.ports.markers)):  # type: ignore[misc]
        def find(self, vmid: Vmid) -> None:
            return None

    ports = replace(world.ports, markers=Blind(world))
    with pytest.raises(PreflightError, match="is in use") as refusal:
        Up().run(plan, cluster(), ports, sink=lambda _event: None, options=RunOptions())
    assert "a container" in refusal.value.details
    assert world.journal == []


def test_another_cluster_of_the_same_range_is_named_as_such() -> None:
    world = World()
    hold(world, replace(HELD, cluster=ClusterName("prod"), process="here/42"))
    with pytest.raises(
        ClusterBusyError, match="another run is in progress on prod, which shares the VMIDs 7000-7999 with demo"
    ):
        up(world)


def _gone(vm: FakeVm, world: World) -> None:
    world.vms.pop(vm.vmid)


def _taken(vm: FakeVm, _world: World) -> None:
    vm.description = lock_text(vm, HELD)


@pytest.mark.parametrize(("change", "is_lost"), [(_gone, False), (_taken, True)])
def test_a_holder_whose_marker_changes_hands_stops_and_one_whose_marker_vanishes_makes_it_anew(
    change: Callable[[FakeVm, World], None], is_lost: bool
) -> None:
    world = World()
    stop, looked = threading.Event(), threading.Event()
    lock = ClusterLock(cluster(), world.ports, command="up", sink=lambda _event: None, stop=stop, times=FAST)
    with lock:
        change(world.vms[LAST], world)
        looks: list[int] = []

        def look() -> None:
            looks.append(1)
            if len(looks) > 3:
                looked.set()

        world.on_look = look
        assert (stop if is_lost else looked).wait(60)
    if is_lost:
        with pytest.raises(HomelabError, match="took over the lock of") as lost:
            lock.check()
        assert "you@laptop" in lost.value.details
        assert LAST in world.vms, "the new holder's marker stays"
    else:
        lock.check()
        assert world.vms == {}


def test_the_heart_beats_while_the_lock_is_held() -> None:
    world = World()
    lock = ClusterLock(
        cluster(), world.ports, command="up", sink=lambda _event: None, stop=threading.Event(), times=FAST
    )
    with lock:
        for _ in range(1000):
            record = parse_lock(world.vms[LAST].description)
            if record is not None and record.beat > 3:
                break
            threading.Event().wait(0.01)
        assert record is not None
        assert record.beat > 3


def test_a_marker_that_is_never_finished_is_named_with_the_way_out() -> None:
    world = World()
    hold(world).lock = "create"
    world.vms[LAST].name = world.vms[LAST].description = ""
    with pytest.raises(HomelabError, match="timed out waiting for the marker VM 7999") as stuck:
        up(world)
    assert "qm unlock 7999 && qm destroy 7999" in stuck.value.resolution
    assert world.journal == []


def test_an_interrupted_watch_ends_at_once_and_leaves_the_holder_its_marker() -> None:
    world = World()
    hold(world)
    options = RunOptions()
    options.stop.set()
    ports = replace(world.ports, clock=SteppingClock())
    with pytest.raises(InterruptedRunError):
        Up().run(Up().plan(cluster(), ports), cluster(), ports, sink=lambda _event: None, options=options)
    assert parse_lock(world.vms[LAST].description) == HELD


@pytest.mark.parametrize("text", ["", "homelab-k8s-lock: {", "homelab-k8s-lock: []", 'homelab-k8s-lock: {"format":1}'])
def test_what_is_no_whole_record_is_none(text: str) -> None:
    assert parse_lock(text) is None


def test_a_record_survives_its_text() -> None:
    assert parse_lock(marker_vm(HELD).description) == HELD
