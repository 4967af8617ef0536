"""A run as Chrome trace events, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

The form is Google's "Trace Event Format": complete events (`X`) nest by time on a thread, flows (`s`, `f`) bind to the
slices that enclose them, instants are `i`, names of processes and threads come as metadata (`M`). Times are in µs.
"""

from __future__ import annotations

from typing import Any

from bootstrap.reporting.critical import critical_path
from bootstrap.reporting.run import Bar, RecordedRun

TraceEvent = dict[str, Any]

_PID = 1


def chrome_trace(run: RecordedRun) -> dict[str, Any]:
    """The whole trace, ready for `json.dumps`: lanes are threads, steps and the waits in them slices, gates flows."""
    threads = {lane: number for number, lane in enumerate(run.lanes, 1)}
    on_path = {id(link.bar) for link in critical_path(run)}
    events = [_metadata("process_name", 0, {"name": f"homelab-k8s {run.command} {run.cluster}"})]
    for lane, thread in threads.items():
        events.append(_metadata("thread_name", thread, {"name": lane}))
        events.append(_metadata("thread_sort_index", thread, {"sort_index": thread}))
    for bar in run.bars:
        events += _slices(bar, threads[bar.lane], critical=id(bar) in on_path)
    events += _gates(run, threads)
    for failure in run.failures:
        if failure.skipped and failure.lane in threads:
            name = f"skipped before {failure.title}"
            events.append(_instant(name, threads[failure.lane], failure.at_s, {"cause": failure.brief}))
    for subject, message, at_s in run.warnings:
        events.append(_instant(f"warning: {subject}", threads.get(subject, 0), at_s, {"message": message}))
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"command": run.command, "cluster": run.cluster, "began": run.began},
    }


def _slices(bar: Bar, thread: int, *, critical: bool) -> list[TraceEvent]:
    arguments = {"outcome": str(bar.outcome), "note": bar.note, "critical": critical, "waited_s": bar.waited_s}
    step = _slice(bar.title, bar.phase, thread, bar.began_s, bar.ended_s, arguments)
    waits = [
        _slice(f"waiting for {wait.what}", "wait", thread, wait.began_s, wait.ended_s, {"problem": wait.problem})
        for wait in bar.waits
    ]
    return [step, *waits]


def _gates(run: RecordedRun, threads: dict[str, int]) -> list[TraceEvent]:
    """An instant for each opened gate, and a flow from there to each step that needed it."""
    openers = {gate: bar for bar in run.bars for gate in bar.opens}
    events = [
        _instant(f"gate {gate}", threads[bar.lane], bar.ended_s, {"opened by": bar.title})
        for gate, bar in openers.items()
    ]
    number = 0
    for bar in run.bars:
        for gate in bar.needs:
            opener = openers.get(gate)
            if opener is None:
                continue
            number += 1
            flow = {"name": gate, "cat": "gate", "pid": _PID, "id": number}
            # A flow binds to the slice around it, and a slice's own end is outside of it.
            leaves = max(_us(opener.began_s), _us(opener.ended_s) - 1)
            events.append({**flow, "ph": "s", "tid": threads[opener.lane], "ts": leaves})
            events.append({**flow, "ph": "f", "bp": "e", "tid": threads[bar.lane], "ts": _us(bar.began_s)})
    return events


def _slice(
    name: str, category: str, thread: int, began_s: float, ended_s: float, arguments: dict[str, Any]
) -> TraceEvent:
    return {
        "name": name,
        "cat": category,
        "ph": "X",
        "pid": _PID,
        "tid": thread,
        "ts": _us(began_s),
        "dur": _us(ended_s) - _us(began_s),
        "args": arguments,
    }


def _instant(name: str, thread: int, at_s: float, arguments: dict[str, Any]) -> TraceEvent:
    scope = "t" if thread else "p"
    event = {"name": name, "ph": "i", "s": scope, "pid": _PID, "tid": thread, "ts": _us(at_s), "args": arguments}
    return {**event, "cat": "event"}


def _metadata(name: str, thread: int, arguments: dict[str, Any]) -> TraceEvent:
    return {"name": name, "ph": "M", "pid": _PID, "tid": thread, "args": arguments}


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
