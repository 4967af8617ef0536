"""Reading recordings back: what is cut off, killed, foreign or newer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from bootstrap.cli.text.documents import event_document
from bootstrap.errors import HomelabError
from bootstrap.reporting.run import Outcome, RecordedRun, parse_run, read_run
from tests.cli.scripted import events
from tests.unit.reporting.runs import Step, plans, walked


def lines(count: int = 4) -> list[str]:
    header = {"event": "recorded", "format": 1, "command": "up", "began": "2030-01-02T03:04:05+00:00"}
    told = [{"at_s": at_s, **event_document(event)} for at_s, event in events(count)]
    return [json.dumps(document) for document in (header, *told)]


def read(documents: list[str]) -> RecordedRun:
    return parse_run("\n".join(documents) + "\n")


def test_a_recorded_run_is_read_as_it_was_told() -> None:
    run = read(lines())
    assert (run.command, run.cluster, run.began, run.ended) == ("up", "demo", "2030-01-02T03:04:05+00:00", True)
    assert run.lanes == ("demo-cp-1", "demo-workers-1", "demo-workers-2", "demo-workers-3")
    boot = next(bar for bar in run.bars if bar.lane == "demo-workers-3" and bar.phase == "boot")
    assert (boot.outcome, boot.took_s) == (Outcome.FAILED, 9.0)
    failed, skipped = sorted(run.failures, key=lambda failure: failure.skipped)
    assert (failed.lane, failed.details) == ("demo-workers-3", "QEMU guest agent is not running")
    assert (skipped.lane, skipped.brief) == ("demo-workers-2", "demo-cp-1: the API does not answer")
    assert run.warnings[0][0] == "demo-cp-1"


def test_a_killed_run_ends_with_its_last_event_and_its_steps_stay_open() -> None:
    documents = lines()
    started = next(index for index, line in enumerate(documents) if '"wait for the guest"' in line)
    run = read([*documents[: started + 1], documents[started + 1][:20]])
    assert not run.ended
    assert [bar.outcome for bar in run.bars if bar.phase == "boot"] == [Outcome.OPEN]
    assert run.took_s == pytest.approx(run.bars[-1].ended_s)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no start of a run"),
        ("{}\n{}\n", "no start of a run"),
        ("nonsense\n{}\n", "line 1 is not JSON"),
        ('{"event": "run_started"}\n', "KeyError"),
        ('[1]\n{"event": "x"}\n', "AttributeError"),
        ('{"event": "recorded", "format": 7}\n', "format 7"),
    ],
)
def test_what_is_no_recording_is_refused(text: str, said: str) -> None:
    with pytest.raises(HomelabError) as refused:
        parse_run(text)
    assert said in f"{refused.value.brief} {refused.value.details}"


def test_events_of_a_newer_version_are_passed_over() -> None:
    documents: list[dict[str, Any]] = [json.loads(line) for line in lines()]
    documents.insert(5, {"event": "machine_sneezed", "at_s": 1.0, "lane": "demo-cp-1"})
    assert read_run(documents) == read(lines())


@given(plans())
def test_waits_lie_within_their_steps_and_do_not_overlap(steps: list[Step]) -> None:
    for bar in walked(steps).bars:
        last_s = bar.began_s
        for wait in bar.waits:
            assert last_s <= wait.began_s <= wait.ended_s <= bar.ended_s
            last_s = wait.ended_s
        assert bar.waited_s <= bar.took_s + 1e-9


def test_a_wait_longer_than_its_step_is_cut_to_it() -> None:
    started = {"event": "run_started", "command": "up", "cluster": "demo", "lanes": []}
    of = {"lane": "a", "phase": "boot", "title": "wait"}
    run = read_run(
        [
            started,
            {"event": "step_started", **of, "at_s": 1.0},
            {"event": "waited", "lane": "a", "what": "tea", "problem": "", "at_s": 2.0, "waited_s": 5.0},
            {"event": "step_finished", **of, "at_s": 3.0},
        ]
    )
    assert [(wait.began_s, wait.ended_s) for wait in run.bars[0].waits] == [(1.0, 2.0)]
