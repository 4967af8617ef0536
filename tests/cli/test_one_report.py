"""What is done by two plans, one after the other, is told as one: one start, one end, and the time of all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.events import Event, LanesAdded, RunFinished, RunStarted, StepFinished, StepStarted
from bootstrap.execution.one_run import OneRun
from tests.cli.conftest import Run
from tests.fakes.clock import SteppingClock
from tests.fakes.world import World, pve_node
from tests.fakes.world.facts import EVERYTHING

DEMO = ("--cluster", "demo")


def _told(state: Path) -> list[dict[str, object]]:
    newest = max((state / "runs").glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
    return [json.loads(line) for line in newest.read_text().splitlines()]


@pytest.mark.parametrize("command", ["up", "rebuild"])
def test_two_plans_are_one_run(run: Run, world: World, state: Path, command: str) -> None:
    if command == "up":
        world.templates = []
        world.pve_nodes = [replace(pve_node(), storages=(EVERYTHING,))]
    else:
        assert run("up", *DEMO, "--workers", "1").exit_code == 0
    workers = ("--workers", "1") if command == "up" else ()
    result = run(command, *DEMO, *workers, "--yes")
    assert result.exit_code == 0, result.stderr
    lines = result.stderr.splitlines()
    assert sum(f"{command} starts" in line for line in lines) == 1
    assert sum(" starts: " in line for line in lines) == 1
    ends = [line for line in lines if " ended: " in line]
    assert len(ends) == 1
    events = _told(state)
    names = [event["event"] for event in events]
    assert (names.count("run_started"), names.count("run_finished"), names.count("lanes_added")) == (1, 1, 1)
    times = [float(str(event["at_s"])) for event in events if event["event"] in ("step_started", "step_finished")]
    assert times == sorted(times)
    (finished,) = (event for event in events if event["event"] == "run_finished")
    assert float(str(finished["took_s"])) >= times[-1] > 0
    assert finished["command"] == command
    assert f"in {float(str(finished['took_s'])):.1f} s" in result.stdout


def test_times_lanes_and_phases_are_of_all_of_it() -> None:
    clock = SteppingClock()
    told: list[Event] = []
    one = OneRun(told.append, clock)
    with one:
        _run(one, clock, took_s=3.0)
        clock.sleep(10.0)
        _run(one, clock, took_s=4.0)
    assert [type(event) for event in told] == [
        *(RunStarted, StepStarted, StepFinished),
        *(LanesAdded, StepStarted, StepFinished),
        RunFinished,
    ]
    assert [event.at_s for event in told if isinstance(event, StepFinished)] == [3.0, 17.0]
    end = told[-1]
    assert isinstance(end, RunFinished)
    assert (end.took_s, end.done, end.phases, end.longest_lane) == (17.0, 1, (("boot", 7.0),), ("a", 7.0))


def test_a_first_half_that_fails_is_the_end() -> None:
    clock = SteppingClock()
    told: list[Event] = []
    with OneRun(told.append, clock) as one:
        one(RunStarted(command="up", cluster="demo", lanes=(("a", 1),)))
        one(replace(_finished(1.0), done=0, failed=1))
        assert isinstance(told[-1], RunFinished)
    assert len(told) == 2


def _run(one: OneRun, clock: SteppingClock, *, took_s: float) -> None:
    one(RunStarted(command="up", cluster="demo", lanes=(("a", 1),)))
    one(StepStarted(lane="a", phase="boot", title="boot", at_s=0.0))
    clock.sleep(took_s)
    one(StepFinished(lane="a", phase="boot", title="boot", at_s=took_s, took_s=took_s))
    one(_finished(took_s))


def _finished(took_s: float) -> RunFinished:
    return RunFinished(
        command="up",
        cluster="demo",
        took_s=took_s,
        done=1,
        failed=0,
        skipped=0,
        phases=(("boot", took_s),),
        longest_lane=("a", took_s),
    )
