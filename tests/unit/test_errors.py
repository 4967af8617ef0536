"""Errors of hundreds of machines stay readable."""

from __future__ import annotations

from bootstrap.errors import HomelabError, InterruptedRunError, RunFailedError, few_lines


def test_ten_lines_are_told_and_the_rest_is_counted() -> None:
    lines = [str(number) for number in range(12)]
    assert few_lines(lines[:10]) == "\n".join(lines[:10])
    assert few_lines(lines).splitlines() == [*lines[:10], "... and 2 more"]
    assert few_lines([]) == ""


def test_hundreds_of_failures_are_ten_lines_of_text_and_all_there_as_values() -> None:
    failures = tuple((f"demo-workers-{n}", HomelabError("clone failed", details="no space")) for n in range(1, 301))
    error = RunFailedError("up of demo failed", failures)
    lines = error.details.splitlines()
    assert (lines[0], lines[-1], len(lines)) == (
        "demo-workers-1: clone failed: no space",
        "... and 290 more",
        11,
    )
    assert error.failures == failures


def test_an_interrupted_run_of_hundreds_of_lanes_is_ten_lines_of_text() -> None:
    error = InterruptedRunError("interrupted", details="\n".join(f"demo-workers-{n}: not begun" for n in range(300)))
    assert error.details.splitlines()[9:] == ["demo-workers-9: not begun", "... and 290 more"]
