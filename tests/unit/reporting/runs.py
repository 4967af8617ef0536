"""Runs as they would be recorded, made by walking through random plans with random times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from bootstrap.reporting.run import RecordedRun, read_run

Document = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """A step of a made-up plan; `gap_ms` is the scheduler's delay before it."""

    lane: str
    took_ms: int
    gap_ms: int = 0
    needs: tuple[str, ...] = ()
    opens: tuple[str, ...] = ()
    waited_ms: int = 0


@dataclass
class Walk:
    """Plays steps, each as soon as its lane's last step and the gates it needs allow, plus its gap."""

    documents: list[Document] = field(default_factory=list)
    free_ms: dict[str, int] = field(default_factory=dict)
    open_ms: dict[str, int] = field(default_factory=dict)

    def play(self, step: Step) -> None:
        began = max([self.free_ms.get(step.lane, 0), *(self.open_ms[gate] for gate in step.needs)]) + step.gap_ms
        ended = began + step.took_ms
        self.free_ms[step.lane] = ended
        self.open_ms.update(dict.fromkeys(step.opens, ended))
        of = {"lane": step.lane, "phase": "join", "title": f"step at {began}"}
        self.documents.append({"event": "step_started", **of, "at_s": began / 1000, "needs": list(step.needs)})
        if step.waited_ms:
            waited = {"lane": step.lane, "what": "tea", "problem": "cold", "waited_s": step.waited_ms / 1000}
            self.documents.append({"event": "waited", **waited, "at_s": ended / 1000})
        took = {"at_s": ended / 1000, "took_s": step.took_ms / 1000, "changed": True, "note": ""}
        self.documents.append({"event": "step_finished", **of, **took, "opens": list(step.opens)})

    def run(self, lanes: tuple[str, ...]) -> RecordedRun:
        began = {
            "event": "run_started",
            "command": "up",
            "cluster": "demo",
            "lanes": [{"name": lane, "steps": 1} for lane in lanes],
        }
        took_s = max(self.free_ms.values(), default=0) / 1000
        ended = {"event": "run_finished", "command": "up", "cluster": "demo", "took_s": took_s}
        return read_run([began, *sorted(self.documents, key=lambda document: document["at_s"]), ended])


def longest_ms(steps: list[Step]) -> int:
    """The end of the last step by itself: the longest way through the graph, gaps included."""
    end: dict[int, int] = {}

    def before(index: int) -> list[int]:
        step = steps[index]
        own = [other for other in range(index) if steps[other].lane == step.lane][-1:]
        openers = [other for other in range(index) if set(steps[other].opens) & set(step.needs)]
        return own + openers

    for index, step in enumerate(steps):
        end[index] = max((end[other] for other in before(index)), default=0) + step.gap_ms + step.took_ms
    return max(end.values())


@st.composite
def plans(draw: st.DrawFn, *, gaps: bool = True) -> list[Step]:
    """Steps in an order in which they can run: gates are needed only after a step that opens them."""
    lanes = [f"lane-{number}" for number in range(draw(st.integers(1, 5)))]
    gap: Callable[[], int] = lambda: draw(st.integers(0, 500)) if gaps else 0  # noqa: E731
    steps: list[Step] = []
    for number in range(draw(st.integers(1, 14))):
        opened = [gate for step in steps for gate in step.opens]
        needs = tuple(draw(st.lists(st.sampled_from(opened), unique=True, max_size=2))) if opened else ()
        took_ms = draw(st.integers(3, 5000))
        steps.append(
            Step(
                lane=draw(st.sampled_from(lanes)),
                took_ms=took_ms,
                gap_ms=gap(),
                needs=needs,
                opens=(f"gate({number})",) if draw(st.booleans()) else (),
                waited_ms=draw(st.integers(0, took_ms)),
            )
        )
    return steps


def walked(steps: list[Step]) -> RecordedRun:
    """The run of a plan."""
    walk = Walk()
    for step in steps:
        walk.play(step)
    return walk.run(tuple(dict.fromkeys(step.lane for step in steps)))
