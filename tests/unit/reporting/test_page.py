"""The page: whole by itself, escaped, and true to the run."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.cli.text.documents import event_document
from bootstrap.reporting.chart import ticks
from bootstrap.reporting.page import render_page
from bootstrap.reporting.run import RecordedRun, parse_run, read_run
from tests.cli.scripted import events
from tests.unit.reporting.runs import Step, walked

VOID = {"meta", "rect", "line", "br"}


class Structure(HTMLParser):
    """Checks that elements close in the order they opened, and gathers tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def structure(page: str) -> Structure:
    parsed = Structure()
    parsed.feed(page)
    parsed.close()
    assert parsed.stack == []
    return parsed


def scripted(count: int = 4) -> RecordedRun:
    return read_run([{"at_s": at_s, **event_document(event)} for at_s, event in events(count)])


@pytest.mark.parametrize("count", [4, 60, 200])
def test_it_needs_nothing_but_itself(count: int) -> None:
    page = render_page(scripted(count))
    tags = structure(page).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe"}
    assert not [name for _, attributes in tags for name in attributes if name in ("src", "href") or name[:2] == "on"]
    assert "http" not in page
    assert "@import" not in page


def test_failures_are_named_with_what_the_other_side_said() -> None:
    text = " ".join(structure(render_page(scripted())).text)
    assert "What failed" in text
    assert "demo-workers-3: the guest agent went away" in text
    assert "QEMU guest agent is not running" in text
    assert re.search(r"Skipped, demo-cp-1: the API does not answer: demo-workers-2", text)


def test_steps_waits_and_the_critical_path_are_drawn() -> None:
    run = walked(
        [
            Step(lane="server", took_ms=4000, opens=("api",), waited_ms=3000),
            Step(lane="worker", took_ms=1000),
            Step(lane="worker", took_ms=2000, needs=("api",)),
        ]
    )
    parsed = structure(render_page(run))
    drawn = [attributes.get("class") for tag, attributes in parsed.tags if tag == "rect"]
    assert drawn.count("step join") == 3
    assert drawn.count("wait") == 1
    assert drawn.count("outline") == 2
    assert [attributes for tag, attributes in parsed.tags if attributes.get("class") == "path"]
    critical = [attributes["title"] for tag, attributes in parsed.tags if attributes.get("class") == "critical"]
    assert critical == ["server", "worker"]
    wait = next(attributes for tag, attributes in parsed.tags if attributes.get("class") == "wait")
    end_s = 6.0 * 1.02
    assert float(str(wait["x"]).rstrip("%")) == pytest.approx(100 * 1.0 / end_s, abs=0.01)
    assert float(str(wait["width"]).rstrip("%")) == pytest.approx(100 * 3.0 / end_s, abs=0.01)


def test_what_others_said_cannot_become_markup() -> None:
    evil = '"><script>alert(1)</script><i title="'
    text = "\n".join(
        json.dumps(document)
        for document in (
            {"event": "run_started", "command": "up", "cluster": evil, "lanes": [{"name": evil, "steps": 1}]},
            {"event": "step_started", "lane": evil, "phase": evil, "title": evil, "at_s": 0},
            {"event": "waited", "lane": evil, "what": evil, "problem": evil, "at_s": 1, "waited_s": 1},
            {"event": "warned", "subject": evil, "message": evil, "at_s": 1},
            {
                "event": "step_failed",
                "lane": evil,
                "phase": evil,
                "title": evil,
                "at_s": 2,
                "error": {"brief": evil, "details": evil, "resolution": evil},
            },
        )
    )
    assert "script" not in {tag for tag, _ in structure(render_page(parse_run(text))).tags}


def test_a_run_that_was_killed_says_so() -> None:
    documents = [{"at_s": at_s, **event_document(event)} for at_s, event in events()][:-1]
    assert "did not finish" in render_page(read_run(documents))


@given(st.floats(0.001, 100_000))
def test_an_axis_has_a_handful_of_round_ticks(took_s: float) -> None:
    marks = ticks(took_s)
    assert marks[0] == 0
    assert marks[-1] <= took_s
    assert 1 < len(marks) <= 29
