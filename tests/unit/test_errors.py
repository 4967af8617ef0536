"""Errors of hundreds of machines stay readable."""

from __future__ import annotations

import pytest

from bootstrap.errors import HomelabError, InterruptedRunError, RunFailedError, few_lines, head_and_tail


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


class TestHeadAndTail:
    def test_short_texts_stay_as_they_are(self) -> None:
        text = "\n".join(map(str, range(50)))
        assert head_and_tail(f"\n{text}\n") == text

    def test_of_many_lines_the_middle_goes(self) -> None:
        text = "\n".join(f"line {number}" for number in range(5000))
        lines = head_and_tail(text, head=2, tail=3).splitlines()
        assert lines == ["line 0", "line 1", "... 4995 lines left out ...", "line 4997", "line 4998", "line 4999"]

    def test_of_a_long_line_the_end_stays_too(self) -> None:
        assert head_and_tail("a" * 1000 + "z", line=10) == "aaaaaaaa ... 991 characters left out ... az"

    @pytest.mark.parametrize("text", ["x" * 20_000_000, "x\n" * 10_000_000], ids=["one line", "many"])
    def test_it_is_quick_and_short_whatever_comes(self, text: str) -> None:
        short = head_and_tail(text)
        assert "left out" in short
        assert len(short) < 3000


def test_an_error_keeps_of_endless_details_the_beginning_and_the_end() -> None:
    error = HomelabError("it failed: " + "b" * 100_000, details="first\n" + "middle\n" * 1_000_000 + "last")
    assert len(error.brief) < 5000
    assert error.details.startswith("first\nmiddle\n")
    assert error.details.endswith("middle\nlast")
    assert len(error.details.splitlines()) < 500
