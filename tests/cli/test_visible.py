"""What others wrote reaches a terminal, a page and a log as characters to read, wherever it comes from.

A name of a VM, a record, a guest's words, what a worker's kubelet says: each may hold what a terminal obeys.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import yaml

from bootstrap.cli.asking.confirm import typed_after
from bootstrap.cli.asking.prompts import Prompts
from bootstrap.cli.verbs.show.status import _screen
from bootstrap.cli.views.tty import TtyView
from bootstrap.errors import HomelabError, UsageError
from bootstrap.events import (
    Event,
    LanesAdded,
    LaneSkipped,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepStarted,
    Told,
    Waited,
    Waiting,
    Warned,
)
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import MachineName, Vmid
from bootstrap.model.observed import Snapshot
from bootstrap.ports import CommandOutcome
from bootstrap.records.vms.lock import LockRecord, lock_vmid
from tests.cli.conftest import Run
from tests.fakes.specs import DEMO
from tests.fakes.world import World
from tests.fakes.world.markers import marker_vm

EVIL = "\x1b]0;pwned\x07\x1b[2J\x1b[31m\x9b1A\u202egnp.exe\u2066\u200b\u2028\ufeff\r[red]x[/red]<script>"
UP = ("up", "--cluster", "demo", "--workers", "1")
STATUS = ("status", "--cluster", "demo", "--workers", "1")


def harmless(text: str) -> str:
    """The text, which has the hostile one in it, but nothing of it that does something."""
    assert "pwned" in text
    assert r"\x1b" in text or r"\u001b" in text or r"\e" in text
    return clean(text)


def clean(text: str) -> str:
    """The text, in which nothing steers a terminal, hides or turns a line around."""
    assert [each for each in text if not each.isprintable() and each not in "\n\t"] == []
    return text


def kubelet(world: World) -> None:
    """A worker's kubelet may write what it likes into its own node."""
    name = MachineName("demo-workers-1")
    node = world.kube_nodes[name]
    world.kube_nodes[name] = replace(node, os_image=EVIL, version=EVIL, problem=EVIL, ready=False)


def stranger(world: World) -> None:
    """A VM with our record, copied, and a name of its own."""
    ours = world.vm_named("demo-workers-1")
    assert ours is not None
    world.vms[Vmid(7050)] = replace(ours, vmid=Vmid(7050), name=EVIL)


def snapshot(world: World) -> None:
    bad = Snapshot(name=EVIL, machine=MachineName("demo-cp-1"), location="s3://x", problem=EVIL)
    world.snapshots = (bad, replace(bad, location=f"file:///{EVIL}", problem=""))


def lock(world: World) -> None:
    vmid = lock_vmid(VmidRange(first=Vmid(7000), last=Vmid(7999)))
    record = LockRecord(cluster=DEMO, who=EVIL, pid=7, process="", run="r", command=EVIL, since=EVIL)
    ours = world.vm_named("demo-cp-1")
    assert ours is not None
    world.vms[vmid] = marker_vm(record, vmid=vmid)


SOURCES: tuple[Callable[[World], None], ...] = (kubelet, stranger)


@pytest.mark.parametrize("look", [("status",), ("status", "-o", "wide"), ("doctor",), ("doctor", "-o", "json")])
@pytest.mark.parametrize("source", SOURCES)
def test_whatever_is_looked_at(run: Run, world: World, source: Callable[[World], None], look: tuple[str, ...]) -> None:
    run(*UP)
    source(world)
    command, *options = look
    harmless(run(command, "--cluster", "demo", "--workers", "1", *options).stdout)


def test_a_lock_s_holder(run: Run, world: World) -> None:
    run(*UP)
    lock(world)
    harmless(run("doctor", "--cluster", "demo", "--workers", "1").stdout)


def test_snapshots(run: Run, world: World) -> None:
    run("up", "--cluster", "demo", "--workers", "0", "--control-planes", "3")
    snapshot(world)
    harmless(run("status", "--cluster", "demo", "--control-planes", "3", "--workers", "0").stdout)


@pytest.mark.parametrize(("form", "parse"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_documents_keep_the_values(run: Run, world: World, form: str, parse: Callable[[str], object]) -> None:
    run(*UP)
    kubelet(world)
    told = run(*STATUS, "-o", form).stdout
    harmless(told)
    machines = cast(dict[str, list[dict[str, object]]], parse(told))["machines"]
    assert [machine["os_image"] for machine in machines if machine["name"] == "demo-workers-1"] == [EVIL]


def test_what_a_command_prints_on_a_machine(run: Run, world: World) -> None:
    run(*UP)
    world.answer = lambda _name, _command: CommandOutcome(status=0, stdout=f"{EVIL}\nsecond\n", stderr=f"{EVIL}\n")
    result = run("exec", "--cluster", "demo", "--progress", "quiet", "--", "true")
    harmless(result.stdout)
    harmless(result.stderr)
    assert "demo-cp-1  second" in result.stdout.splitlines()
    harmless(run("exec", "--cluster", "demo", "-o", "json", "--", "true").stdout)
    harmless(run("logs", "cp-1", "--cluster", "demo").stdout)


@pytest.mark.parametrize("progress", ["plain", "json", "quiet", "tty"])
def test_a_failure_in_views_log_recording_trace_and_page(
    run: Run, world: World, state: Path, tmp_path: Path, progress: str
) -> None:
    def fail(call: str) -> None:
        if call == "clone demo-workers-1":
            raise HomelabError(f"it said {EVIL}", details=f"{EVIL}\n{EVIL}", resolution=f"do {EVIL}")

    world.on_call = fail
    trace = tmp_path / "trace.json"
    result = run(*UP, "--progress", progress, "--trace", str(trace))
    assert result.exit_code == 1
    if progress == "tty":  # what Rich itself draws with is not the hostile text's
        assert not [
            part for part in ("\x1b]0;", "\x1b[2J", "\x9b", "\u202e", "\u2066", "\u200b") if part in result.stderr
        ]
    else:
        harmless(result.stderr)
    harmless(next((state / "logs").glob("*-up.log")).read_text())
    (recording,) = (state / "runs").glob("*.jsonl")
    harmless(recording.read_text())
    failed = [json.loads(line) for line in recording.read_text().split("\n") if '"step_failed"' in line]
    assert [event["error"]["brief"] for event in failed] == [f"it said {EVIL}"]
    clean(trace.read_text())
    page = run("report", "-o", "-").stdout
    assert "<script>" not in harmless(page)


EVENTS: tuple[Event, ...] = (
    RunStarted(command=EVIL, cluster=EVIL, lanes=((EVIL, 3), ("b", 1))),
    LanesAdded(lanes=((EVIL, 3), ("b", 1))),
    StepStarted(lane=EVIL, phase=EVIL, title=EVIL, at_s=0.0, needs=(EVIL,)),
    Waiting(lane=EVIL, what=EVIL, problem=EVIL, waited_s=20.0),
    Waited(lane=EVIL, what=EVIL, problem=EVIL, at_s=1.0, waited_s=20.0),
    Warned(subject=EVIL, message=EVIL),
    Told(message=EVIL),
    StepFinished(lane=EVIL, phase=EVIL, title=EVIL, at_s=1.0, took_s=1.0, note=EVIL, opens=(EVIL,)),
    LaneSkipped(lane="b", title=EVIL, cause=EVIL),
    StepFailed(lane=EVIL, phase=EVIL, title=EVIL, at_s=2.0, took_s=1.0, error=HomelabError(EVIL, details=EVIL)),
    RunFinished(
        command=EVIL, cluster=EVIL, took_s=2.0, done=0, failed=1, skipped=1, phases=((EVIL, 1.0),),
        longest_lane=(EVIL, 1.0),
    ),
)  # fmt: skip


def test_every_text_of_every_event_in_the_live_view() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    view = TtyView(stream, colour=False)
    seen = []
    for event in EVENTS:
        view.event(event)
        seen += [line.plain for line in view.lines(width=400, height=40)]
    view.text(EVIL)
    with view.busy(EVIL):
        seen += [line.plain for line in view.lines(width=400, height=40)]
    view.error(HomelabError(EVIL, details=EVIL, resolution=EVIL), log=EVIL)
    view.close()
    stream.seek(0)
    harmless("\n".join(seen))
    harmless(stream.read())


def test_questions_and_what_is_wrong_with_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(text: str) -> str:
        if text == "no":
            raise UsageError(f"{text}: {EVIL}", details=EVIL, resolution=EVIL)
        return text

    asked = io.StringIO()
    monkeypatch.setattr(sys, "stderr", asked)
    monkeypatch.setattr(sys, "stdin", io.StringIO("no\n\ny\n"))
    prompts = Prompts(asks=True)
    assert prompts.ask(f"Storage {EVIL}", flag="--storage", check=refuse, proposal=EVIL) == EVIL
    assert prompts.agree(EVIL, proposal=None, flag="--yes")
    harmless(asked.getvalue())

    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert typed_after(f"{EVIL}\nGo on? ") == "y"
    harmless(said.getvalue())


def test_an_inventory_s_own_words(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "evil.yaml"
    file.write_text(json.dumps({"cluster": EVIL, EVIL: EVIL, "workers": EVIL}))
    harmless(run("status", "-i", str(file)).stderr)
    harmless(run("status", "-i", str(file), "--progress", "json").stderr)


def test_what_watch_draws() -> None:
    screen = _screen(f"demo-workers-1  {EVIL}", first=False)
    assert not [part for part in ("\x1b]0;", "\x1b[2J", "\x9b", "\u202e") if part in screen]
    assert r"\x1b]0;pwned" in screen
