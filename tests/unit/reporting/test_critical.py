"""The critical path: connected, from the start to the end, and as long as the run."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given

from bootstrap.reporting.critical import critical_path
from bootstrap.reporting.run import RecordedRun
from tests.unit.reporting.runs import Step, longest_ms, plans, walked


@given(plans())
def test_its_steps_and_gaps_add_up_to_the_wall_time(steps: list[Step]) -> None:
    run = walked(steps)
    path = critical_path(run)
    total_s = sum(link.bar.took_s + link.gap_s for link in path)
    assert total_s == pytest.approx(run.took_s, abs=1e-6)
    assert run.took_s == pytest.approx(longest_ms(steps) / 1000)


@given(plans(gaps=False))
def test_without_gaps_the_steps_alone_are_the_wall_time(steps: list[Step]) -> None:
    run = walked(steps)
    assert sum(link.bar.took_s for link in critical_path(run)) == pytest.approx(run.took_s, abs=1e-6)


@given(plans())
def test_it_is_connected_by_lanes_and_gates(steps: list[Step]) -> None:
    run = walked(steps)
    path = critical_path(run)
    assert path[-1].bar.ended_s == max(bar.ended_s for bar in run.bars)
    assert path[0].via == ""
    for before, link in pairwise(path):
        assert before.bar.ended_s <= link.bar.began_s + 1e-9
        assert link.gap_s == pytest.approx(link.bar.began_s - before.bar.ended_s, abs=1e-9)
        if link.via:
            assert link.via in before.bar.opens
            assert link.via in link.bar.needs
        else:
            own = [bar for bar in run.bars if bar.lane == link.bar.lane]
            assert own[own.index(link.bar) - 1] == before.bar


@given(plans())
def test_each_step_began_after_the_last_thing_it_had_to_wait_for(steps: list[Step]) -> None:
    run = walked(steps)
    openers = {gate: bar for bar in run.bars for gate in bar.opens}
    path = critical_path(run)
    for before, link in pairwise(path):
        for gate in link.bar.needs:
            assert openers[gate].ended_s <= before.bar.ended_s + 1e-9


def test_a_run_without_steps_has_none() -> None:
    run = RecordedRun(command="up", cluster="demo", began="", took_s=0.0, lanes=(), bars=())
    assert critical_path(run) == ()
