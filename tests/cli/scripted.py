"""A run's events with a time line, to look at the live view with: `python tests/cli/scripted.py [LANES] [SPEED]`.

Nothing here is a test; `test_views.py` uses its events.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from bootstrap.cli.views.choose import Progress, make_view
from bootstrap.errors import HypervisorError
from bootstrap.events import (
    Event,
    LaneSkipped,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepStarted,
    Told,
    Waiting,
    Warned,
)

STEPS = (
    ("clone", "clone template 9000 to 7001 on pve1", 1.1),
    ("configure", "configure 2 cores, 2048 MiB, 20 GiB", 0.6),
    ("start", "power on", 0.4),
    ("boot", "wait for the guest", 9.0),
    ("install", "send k3s v1.33.3+k3s1", 1.2),
    ("join", "join as agent", 3.0),
    ("ready", "wait until Ready", 2.0),
)


def lane_names(count: int) -> list[str]:
    return ["demo-cp-1", *(f"demo-workers-{number}" for number in range(1, count))]


def events(count: int = 4) -> list[tuple[float, Event]]:
    """The events of a run of so many lanes, with the seconds at which they come.

    The last lane fails in the middle, the one before it is skipped, the second waits for long.
    """
    names = lane_names(count)
    told: list[tuple[float, Event]] = []
    for index, name in enumerate(names):
        told += _lane(name, start_s=index * 0.1, fails=name == names[-1], is_skipped=name == names[-2])
    told.append((6.0, Warned(subject="demo-cp-1", message="Proxmox VE: WARNINGS: 1 (a volume has no discard)")))
    told.append((0.5, Told(message="3 machines observed")))
    waiting = Waiting(
        lane=names[1],
        what=f"the guest agent of {names[1]}",
        problem="QEMU guest agent is not running",
        waited_s=5.0,
    )
    told.append((7.5, waiting))
    told.sort(key=lambda item: item[0])
    end_s = told[-1][0]
    started = RunStarted(command="up", cluster="demo", lanes=tuple((name, len(STEPS)) for name in names))
    finished = RunFinished(
        command="up",
        cluster="demo",
        took_s=end_s,
        done=count - 2,
        failed=1,
        skipped=1,
        phases=(("clone", 1.1), ("boot", 9.2)),
        longest_lane=(names[0], end_s),
    )
    return [(0.0, started), *told, (end_s, finished)]


def _lane(name: str, *, start_s: float, fails: bool, is_skipped: bool) -> Iterator[tuple[float, Event]]:
    at_s = start_s
    for phase, title, took_s in STEPS:
        if is_skipped and phase == "join":
            yield at_s, LaneSkipped(lane=name, title=title, cause="demo-cp-1: the API does not answer")
            return
        yield at_s, StepStarted(lane=name, phase=phase, title=title, at_s=at_s)
        at_s += took_s
        if fails and phase == "boot":
            error = HypervisorError(f"{name}: the guest agent went away", details="QEMU guest agent is not running")
            yield at_s, StepFailed(lane=name, phase=phase, title=title, at_s=at_s, took_s=took_s, error=error)
            return
        note = {"boot": "198.18.100.3", "ready": "v1.33.3+k3s1"}.get(phase, "")
        yield at_s, StepFinished(lane=name, phase=phase, title=title, at_s=at_s, took_s=took_s, note=note)


def play(count: int, speed: float) -> None:
    """Show the run as fast as `speed` says."""
    import os

    view = make_view(Progress.AUTO, stream=sys.stderr, environ=os.environ)
    with view.busy("reading https://192.0.2.1:8006"):
        time.sleep(1.5 / speed)
    view.text("the plan")
    began_s = time.monotonic()
    for at_s, event in events(count):
        time.sleep(max(0.0, began_s + at_s / speed - time.monotonic()))
        view.event(event)
    view.close()
    view.error(HypervisorError("demo failed", details="one\ntwo", resolution="try again"), log="/tmp/x.log")


if __name__ == "__main__":
    play(int(sys.argv[1]) if len(sys.argv) > 1 else 4, float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)
