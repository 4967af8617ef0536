"""How events look in each view."""

from __future__ import annotations

import io
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from bootstrap.cli.text.tables import render_table, seconds
from bootstrap.cli.views.choose import Progress, choose, make_view
from bootstrap.cli.views.failures import render_error
from bootstrap.cli.views.lines import JsonView, PlainView, QuietView
from bootstrap.cli.views.tty import TtyView
from bootstrap.errors import HomelabError, InventoryError, Problem
from bootstrap.events import Event, RunStarted, StepFinished, StepStarted, Waiting, Warned
from tests.cli.scripted import events


class Hand:
    """A clock set by hand."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def now_s(self) -> float:
        return self.at_s


def shown(view_type: type[PlainView] | type[JsonView] | type[QuietView], told: list[Event]) -> str:
    stream = io.StringIO()
    view = view_type(stream)
    for event in told:
        view.event(event)
    view.close()
    return stream.getvalue()


def test_plain_has_one_line_per_event() -> None:
    told = [event for _, event in events(4)]
    lines = shown(PlainView, told).splitlines()
    assert len(lines) == len(told)
    assert lines[0] == "[   0.0s] demo            up starts: 4 tasks"
    assert "[   2.1s] demo-cp-1       boot: wait for the guest …" in lines
    assert "[  11.1s] demo-cp-1       boot: wait for the guest … done (9.0 s) 198.18.100.3" in lines
    assert any(line.endswith("demo-workers-3  boot: wait for the guest … FAILED (9.0 s) demo-workers-3: the guest "
                             "agent went away: QEMU guest agent is not running") for line in lines)  # fmt: skip
    assert lines[-1].endswith("demo            up ended: 2 done, 1 failed, 1 skipped")


def test_plain_gives_a_wait_the_time_it_was_told_at() -> None:
    hand, stream = Hand(), io.StringIO()
    view = PlainView(stream, now_s=hand.now_s)
    view.event(RunStarted(command="up", cluster="demo", lanes=(("demo-cp-1", 3),)))
    hand.at_s += 17.0
    view.event(Waiting(lane="demo-cp-1", what="its guest agent", problem="not running", waited_s=15.0))
    view.event(Warned(subject="demo-cp-1", message="a full clone"))
    assert stream.getvalue().splitlines()[1:] == [
        "[  17.0s] demo-cp-1  still waiting for its guest agent (15 s): not running",
        "[  17.0s] demo-cp-1  warning: a full clone",
    ]


def test_json_has_one_object_per_event_with_every_field() -> None:
    told = [event for _, event in events(4)]
    objects = [json.loads(line) for line in shown(JsonView, told).splitlines()]
    assert len(objects) == len(told)
    assert {document["event"] for document in objects} == {
        *("run_started", "step_started", "step_finished", "step_failed", "lane_skipped", "waiting", "warned", "told"),
        "run_finished",
    }
    waiting = next(document for document in objects if document["event"] == "waiting")
    assert waiting.pop("time").endswith("+00:00")
    assert waiting == {
        "event": "waiting",
        "lane": "demo-workers-1",
        "what": "the guest agent of demo-workers-1",
        "problem": "QEMU guest agent is not running",
        "waited_s": 5.0,
    }
    assert objects[-1]["phases"] == {"clone": 1.1, "boot": 9.2}


def test_quiet_shows_no_event() -> None:
    assert shown(QuietView, [event for _, event in events(4)]) == ""


def test_quiet_keeps_a_warning_about_danger() -> None:
    plain, danger = (Warned(subject="proxmox", message="look", danger=danger) for danger in (False, True))
    assert shown(QuietView, [plain, danger]) == "warning: proxmox: look\n"


def tty(hand: Hand) -> TtyView:
    """A live view on no terminal: what it would draw is asked of `lines`."""
    return TtyView(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), now_s=hand.now_s)


def drawn(view: TtyView, *, width: int, height: int) -> list[str]:
    return [line.plain for line in view.lines(width=width, height=height)]


def test_tty_has_one_line_per_lane_at_work_and_a_summary() -> None:
    hand = Hand()
    view = tty(hand)
    view.event(RunStarted(command="up", cluster="demo", lanes=(("demo-cp-1", 2), ("demo-workers-1", 2), ("k3s", 1))))
    view.event(StepStarted(lane="demo-cp-1", phase="boot", title="wait for the guest", at_s=0.0))
    view.event(StepStarted(lane="k3s", phase="fetch", title="fetch k3s", at_s=1.0))
    hand.at_s += 4.0
    lines = drawn(view, width=80, height=24)
    view.close()
    assert [line[2:] for line in lines] == [
        "demo-cp-1          4s  boot: wait for the guest",
        "k3s                3s  fetch k3s",
        "up demo  4.0 s  0/3 done, 2 running, 1 waiting",
    ]


def test_tty_says_why_a_lane_waits_and_forgets_it_with_the_step() -> None:
    view = tty(Hand())
    view.event(RunStarted(command="up", cluster="demo", lanes=(("demo-cp-1", 2),)))
    view.event(StepStarted(lane="demo-cp-1", phase="boot", title="wait", at_s=0.0))
    view.event(
        Waiting(lane="demo-cp-1", what="its guest agent", problem="QEMU guest agent is not running", waited_s=15)
    )
    assert drawn(view, width=80, height=24)[1] == "  ↳ waiting for its guest agent: QEMU guest agent is not running"
    assert drawn(view, width=44, height=24)[1] == "  ↳ QEMU guest agent is not running", "the reason is what matters"
    view.event(StepFinished(lane="demo-cp-1", phase="boot", title="wait", at_s=16.0, took_s=16.0))
    view.event(StepStarted(lane="demo-cp-1", phase="join", title="join", at_s=16.0))
    assert len(drawn(view, width=80, height=24)) == 2
    view.close()


@pytest.mark.parametrize(("width", "height"), [(80, 23), (20, 5), (200, 50), (1, 3)])
def test_tty_fits_any_terminal_with_100_lanes(width: int, height: int) -> None:
    view = tty(Hand())
    for _, event in [told for told in events(100) if told[0] < 10.5]:
        view.event(event)
    lines = drawn(view, width=width, height=height)
    view.stopping()
    stopping = drawn(view, width=width, height=height)
    view.close()
    assert len(lines) <= height
    assert len(stopping) <= height
    assert all(len(line) <= max(1, width - 1) for line in lines + stopping)
    if width >= 80:
        assert "more running" in lines[-2]
        assert lines[1].startswith("  ↳"), "a lane that waits for long is shown first"


def test_tty_keeps_one_line_of_each_lane_that_ended() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
    view = TtyView(stream, colour=False)
    for _, event in events(4):
        view.event(event)
    view.close()
    kept = [line.rstrip() for line in raw.getvalue().decode().splitlines() if line[:1] in "✓✗○!"]
    assert kept == [
        "! demo-cp-1: Proxmox VE: WARNINGS: 1 (a volume has no discard)",
        "✗ demo-workers-3     11 s  boot: wait for the guest: the guest agent went away",
        "○ demo-workers-2     12 s  skipped “join as agent”: demo-cp-1: the API does not",
        "✓ demo-cp-1          17 s  198.18.100.3",
        "✓ demo-workers-1     17 s  198.18.100.3",
    ]


def test_tty_keeps_to_ascii_where_the_terminal_has_no_unicode() -> None:
    raw = io.BytesIO()
    view = TtyView(io.TextIOWrapper(raw, encoding="ascii", errors="replace", write_through=True))
    view.event(RunStarted(command="up", cluster="demo", lanes=(("demo-cp-1", 1),)))
    view.event(StepStarted(lane="demo-cp-1", phase="ready", title="wait", at_s=0.0))
    assert drawn(view, width=80, height=24)[0][0] in "|/-\\"
    view.event(StepFinished(lane="demo-cp-1", phase="ready", title="wait", at_s=1.0, took_s=1.0))
    view.close()
    assert "+ demo-cp-1" in raw.getvalue().decode()


def test_tty_shows_calls_of_any_thread_whole_and_above_the_live_part() -> None:
    raw = io.BytesIO()
    view = TtyView(io.TextIOWrapper(raw, encoding="utf-8", write_through=True), colour=False)
    view.event(RunStarted(command="up", cluster="demo", lanes=(("demo-cp-1", 1),)))
    view.event(StepStarted(lane="demo-cp-1", phase="boot", title="wait", at_s=0.0))
    calls = [f"proxmox GET /nodes/pve1/qemu/{number}/config: 200 (0.02 s)" for number in range(40)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(view.call, calls))
    assert len(drawn(view, width=80, height=24)) == 2
    view.close()
    # What is erased and drawn again begins a line of its own: nothing of the live part is in a call's line.
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw.getvalue().decode()).replace("\r", "\n").splitlines()
    assert sorted(line.rstrip() for line in lines if "proxmox" in line) == sorted(calls)


@pytest.mark.parametrize(
    ("view_type", "shown_as"),
    [
        (PlainView, r"\[ +0\.\ds\] ssh x\\x1b: ok"),
        (QuietView, r"ssh x\\x1b: ok"),
        (JsonView, r'.*"event": "call", "message": "ssh .*'),
    ],
)
def test_a_call_is_a_line_in_every_view(
    view_type: type[PlainView] | type[JsonView] | type[QuietView], shown_as: str
) -> None:
    stream = io.StringIO()
    view_type(stream).call("ssh x\x1b: ok")
    assert re.fullmatch(shown_as, stream.getvalue().removesuffix("\n")), stream.getvalue()


@pytest.mark.parametrize(
    ("is_tty", "environ", "expected"),
    [
        (True, {"TERM": "xterm"}, Progress.TTY),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, Progress.TTY),
        (True, {"TERM": "xterm", "CI": "true"}, Progress.PLAIN),
        (True, {"TERM": "dumb"}, Progress.PLAIN),
        (True, {}, Progress.PLAIN),
        (False, {"TERM": "xterm"}, Progress.PLAIN),
    ],
)
def test_auto_is_live_on_terminals_that_can(is_tty: bool, environ: dict[str, str], expected: Progress) -> None:
    assert choose(Progress.AUTO, is_tty=is_tty, environ=environ) is expected
    assert choose(Progress.JSON, is_tty=is_tty, environ=environ) is Progress.JSON


def test_each_form_has_its_view() -> None:
    found = {form: type(make_view(form, stream=io.StringIO(), environ={})) for form in Progress}
    assert found == {
        Progress.AUTO: PlainView,
        Progress.TTY: TtyView,
        Progress.PLAIN: PlainView,
        Progress.JSON: JsonView,
        Progress.QUIET: QuietView,
    }


def test_an_error_says_what_why_what_next_and_where_the_log_is() -> None:
    error = HomelabError("demo-cp-1: clone failed", details="one\ntwo", resolution="try again")
    assert render_error(error, log="/x.log") == (
        "error: demo-cp-1: clone failed\n  one\n  two\n→ try again\nlog: /x.log"
    )
    assert render_error(HomelabError("it failed"), log=None) == "error: it failed"
    assert render_error(HomelabError("it failed"), log=None, colour=True).startswith("\x1b[1m\x1b[31merror:\x1b[0m it")


def test_an_inventory_error_lists_every_problem() -> None:
    problems = tuple(Problem(path=f"workers.key{n}", line=n, message="is wrong", hint="do right") for n in range(1, 11))
    text = render_error(InventoryError("demo.yaml", problems), log=None)
    assert text.startswith("error: demo.yaml: 10 problems\n  line 1: workers.key1: is wrong (do right)\n")
    assert text.count("is wrong") == 10


def test_a_table_is_as_wide_as_its_cells() -> None:
    assert render_table(("A", "LONG"), [("first", "x"), ("y", "")]) == "A      LONG\nfirst  x\ny"


@pytest.mark.parametrize(
    ("value_s", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (119.4, "119 s"), (125.0, "2 min 05 s")]
)
def test_seconds_are_as_precise_as_they_matter(value_s: float, text: str) -> None:
    assert seconds(value_s) == text
