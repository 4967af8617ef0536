"""Chrome trace events: what Perfetto needs to show threads, nested slices and flows."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from hypothesis import given

from bootstrap.reporting.trace import chrome_trace
from tests.unit.reporting.runs import Step, plans, walked


def of(trace: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event for event in trace["traceEvents"] if event["ph"] == kind]


@given(plans())
def test_every_event_has_what_the_format_asks_for(steps: list[Step]) -> None:
    trace = json.loads(json.dumps(chrome_trace(walked(steps))))
    for event in trace["traceEvents"]:
        assert {"name", "ph", "pid", "tid"} <= event.keys()
        if event["ph"] != "M":
            assert isinstance(event["ts"], int)
            assert event["ts"] >= 0
        if event["ph"] == "X":
            assert event["dur"] >= 0


@given(plans())
def test_lanes_are_named_threads_and_slices_nest_on_them(steps: list[Step]) -> None:
    run = walked(steps)
    trace = chrome_trace(run)
    names = {event["tid"]: event["args"]["name"] for event in of(trace, "M") if event["name"] == "thread_name"}
    assert tuple(names.values()) == run.lanes
    by_thread: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for event in of(trace, "X"):
        by_thread[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for slices in by_thread.values():
        for one in slices:
            for other in slices:
                apart = one[1] <= other[0] or other[1] <= one[0]
                nested = (one[0] <= other[0] and other[1] <= one[1]) or (other[0] <= one[0] and one[1] <= other[1])
                assert apart or nested


@given(plans())
def test_each_gate_flows_from_a_slice_to_each_step_that_needed_it(steps: list[Step]) -> None:
    run = walked(steps)
    trace = chrome_trace(run)
    starts = {event["id"]: event for event in of(trace, "s")}
    ends = {event["id"]: event for event in of(trace, "f")}
    assert starts.keys() == ends.keys()
    assert len(starts) == sum(len(step.needs) for step in steps)
    slices = [event for event in of(trace, "X") if event["cat"] != "wait"]
    for number, start in starts.items():
        assert start["name"] == ends[number]["name"]
        assert start["ts"] <= ends[number]["ts"]
        for event in (start, ends[number]):
            assert any(
                one["tid"] == event["tid"] and one["ts"] <= event["ts"] < one["ts"] + one["dur"] for one in slices
            )
    gates = [event for event in of(trace, "i") if event["name"].startswith("gate ")]
    assert len(gates) == sum(len(step.opens) for step in steps)
