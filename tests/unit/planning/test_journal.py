"""Why k3s does not come up, from the lines that a real k3s v1.36.3 wrote for each failure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.k3s.diagnosis.lines import Severity, parse_line
from bootstrap.k3s.diagnosis.unit import diagnose, last_words, parse_runs
from tests.fakes.k3s_failures import ENDS, GOING_ON, GOOD_START, QUIET, SYSTEMD, T


@pytest.mark.parametrize(("line", "words"), ENDS)
def test_the_end_of_a_run_tells_its_cause(line: str, words: str) -> None:
    found = diagnose([*QUIET, line, *SYSTEMD], ended=True)
    assert found is not None
    assert words in found.cause.brief
    assert found.cause.final
    assert found.evidence[-1].startswith(line[:400])


@pytest.mark.parametrize(("line", "words", "final"), GOING_ON)
def test_a_run_that_goes_on_tells_its_cause_and_how_often(line: str, words: str, final: bool) -> None:
    found = diagnose([*QUIET, line, *GOOD_START, line, *SYSTEMD])
    assert found is not None
    assert words in found.cause.brief
    assert (found.cause.final, found.times) == (final, 2)


@pytest.mark.parametrize("ended", [True, False])
def test_nothing_that_belongs_to_every_good_start_is_a_cause(ended: bool) -> None:
    assert diagnose(QUIET, ended=ended) is None


@given(
    before=st.lists(st.sampled_from(QUIET), max_size=60),
    after=st.lists(st.sampled_from(QUIET), max_size=4),
    case=st.sampled_from(ENDS),
)
def test_noise_around_an_end_does_not_change_the_verdict(
    before: list[str], after: list[str], case: tuple[str, str]
) -> None:
    found = diagnose([*before, case[0], *after], ended=True)
    assert found == diagnose([case[0]], ended=True)


@given(noise=st.lists(st.sampled_from(QUIET), max_size=60), case=st.sampled_from(GOING_ON), at=st.integers(0, 60))
def test_noise_around_a_complaint_does_not_change_the_verdict(
    noise: list[str], case: tuple[str, str, bool], at: int
) -> None:
    assert diagnose([*noise[:at], case[0], *noise[at:]]) == diagnose([case[0]])


@given(st.text(max_size=300))
def test_any_line_is_read(line: str) -> None:
    diagnose([line], ended=True)
    diagnose([line])


def test_an_unknown_end_is_told_in_its_own_words() -> None:
    line = f'{T}level=fatal msg="Error: starting kubernetes: preparing server: something new"'
    found = diagnose([*QUIET, line, *SYSTEMD], ended=True)
    assert found is not None
    assert found.cause.brief == "k3s exits with: starting kubernetes: preparing server: something new"
    assert found.evidence == (line,)
    assert not found.cause.final
    assert found.cause.ends is not None


def test_last_words_count_for_more_than_what_was_come_over_before() -> None:
    unreachable, port = GOING_ON[5][0], ENDS[3]
    found = diagnose([*QUIET, unreachable, *GOOD_START, port[0], *SYSTEMD], ended=True)
    assert found is not None
    assert port[1] in found.cause.brief
    other = diagnose([unreachable, f'{T}level=fatal msg="Error: something new"'], ended=True)
    assert other is not None
    assert "something new" in other.cause.brief


def test_what_kept_it_from_its_configuration_is_past_once_the_kubelet_runs() -> None:
    assert diagnose([GOING_ON[0][0], f'{T}level=info msg="Running kubelet --node-ip=192.0.2.9"', *GOOD_START]) is None


def test_runs_are_told_apart() -> None:
    old, new = parse_runs("-- run 0a ended\none\ntwo\n-- run 0b goes on\nthree\n")
    assert (old.id, old.ended, old.lines) == ("0a", True, ("one", "two"))
    assert (new.id, new.ended, new.lines) == ("0b", False, ("three",))
    assert parse_runs("") == ()
    assert [run.ended for run in parse_runs("a line of a run that has no mark")] == [False]


def test_without_a_cause_the_newest_bad_news_is_shown() -> None:
    bad = f'{T}level=warning msg="Waiting for something unusual"'
    assert last_words(parse_runs("\n".join([bad, *GOOD_START])))[-1] == bad
    assert last_words(parse_runs("\n".join(GOOD_START[:2]))) == GOOD_START[:2]


@pytest.mark.parametrize(
    ("line", "severity", "text"),
    [
        (
            f'{T}level=error msg="Error while \\"syncing\\"" configmap=a/b error="not\\nthere" logger=k3s',
            Severity.ERROR,
            'Error while "syncing": not there',
        ),
        (f"{T}level=info msg=Starting controller=kubernetes", Severity.INFO, "Starting"),
        ('k3s[263]: level=fatal msg="ended"', Severity.FATAL, "ended"),
        ('W1128 19:24:17.278107     228 probe.go:275] "Flexvolume" err="x"', Severity.WARNING, '"Flexvolume" err="x"'),
        ('{"level":"error","msg":"lost","error":"gone"}', Severity.ERROR, "lost: gone"),
        ("{no json", Severity.INFO, "{no json"),
        ("panic: runtime error", Severity.FATAL, "panic: runtime error"),
        ("Error: failed to parse", Severity.ERROR, "Error: failed to parse"),
    ],
)
def test_a_line_of_each_format(line: str, severity: Severity, text: str) -> None:
    entry = parse_line(line)
    assert entry is not None
    assert (entry.severity, entry.text) == (severity, text)


@pytest.mark.parametrize("line", SYSTEMD)
def test_lines_of_others_are_passed_over(line: str) -> None:
    assert parse_line(line) is None
