"""Errors of hundreds of machines stay readable."""

from __future__ import annotations

from bootstrap.errors import HomelabError, InterruptedRunError, RunFailedError, few_lines


def test_ten_lines_are_told_and_the_rest_is_counted() -> None:
    lines = [str(number) for number in range(12)]
    assert few_lines(lines[:10]) == "\n".join(lines[:10])
    assert few_lines(lines).splitlines() == [*lines[:10], "... and 2 more"]
    assert few_lines([]) == ""


def test_hundreds_of_lanes_with_one_cause_are_one_entry_and_all_there_as_values() -> None:
    failures = tuple(
        (
            f"demo-workers-{n}",
            HomelabError(f"cannot clone VM {n} (demo-workers-{n})", details=f"no space for {n}\nmore"),
        )
        for n in range(1, 301)
    )
    error = RunFailedError("up of demo failed", failures)
    assert error.details.splitlines() == [
        "demo-workers-1, demo-workers-2 and 298 more: cannot clone VM 1 (demo-workers-1)",
        "  no space for 1",
    ]
    assert error.failures == failures
    assert error.full_details.count("  more") == 300


def test_lanes_that_failed_of_different_causes_tell_each_and_a_handful_at_most() -> None:
    failures = tuple(
        (f"lane-{word}", HomelabError(f"lane-{word}: {word}", details=f"{word} why")) for word in "abcdefg"
    )
    lines = RunFailedError("up of demo failed", failures).details.splitlines()
    assert lines[:4] == ["lane-a: a", "  a why", "lane-b: b", "  b why"]
    assert lines[10:] == ["... and 2 more lanes, which the log has"]


def test_an_interrupted_run_of_hundreds_of_lanes_is_ten_lines_of_text() -> None:
    error = InterruptedRunError("interrupted", details="\n".join(f"demo-workers-{n}: not begun" for n in range(300)))
    assert error.details.splitlines()[9:] == ["demo-workers-9: not begun", "... and 290 more"]
