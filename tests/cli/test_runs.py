"""Recorded runs, `--trace` and `report`."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from bootstrap.cli.running.masking import Masker
from bootstrap.cli.running.runs import KEPT, Recorder, find_recording
from bootstrap.errors import HomelabError, UsageError
from bootstrap.events import RunStarted, Told
from tests.cli.conftest import SECRET, Run
from tests.fakes.world import World

UP = ("up", "--cluster", "demo", "--workers", "1")


def recorded(state: Path) -> list[Path]:
    return sorted((state / "runs").glob("*.jsonl"))


def test_a_run_is_recorded_privately_beside_its_log(run: Run, state: Path) -> None:
    run(*UP)
    (recording,) = recorded(state)
    assert (state / "logs" / f"{recording.stem}.log").exists()
    assert stat.S_IMODE(recording.stat().st_mode) == 0o600
    assert stat.S_IMODE(recording.parent.stat().st_mode) == 0o700
    told = [json.loads(line) for line in recording.read_text().splitlines()]
    assert (told[0]["event"], told[0]["format"]) == ("recorded", 1)
    assert told[-1]["event"] == "run_finished"
    assert all("at_s" in event for event in told[1:])


def test_no_secret_gets_into_a_recording(run: Run, world: World, state: Path) -> None:
    def leak(call: str) -> None:
        if call == "clone demo-workers-1":
            raise HomelabError(
                f"it said PVEAPIToken=test@pve!cli={SECRET}", details=f'{{"password": "two words"}} {SECRET}'
            )

    world.on_call = leak
    run(*UP)
    text = recorded(state)[0].read_text()
    assert "it said PVEAPIToken=test@pve!cli=***" in text
    for secret in (SECRET, "two words", world.state["demo", "token"]):
        assert secret not in text
    assert [json.loads(line) for line in text.splitlines()]


def test_what_runs_nothing_records_nothing(run: Run, state: Path) -> None:
    run(*UP, "--dry-run")
    assert not (state / "runs").exists()
    run(*UP)
    run(*UP)
    run("status", "--cluster", "demo")
    assert len(recorded(state)) == 1


def test_the_newest_recordings_are_kept(tmp_path: Path) -> None:
    for number in range(KEPT + 3):
        path = tmp_path / f"20200101-0000{number:02}-up.jsonl"
        path.touch()
        os.utime(path, (number, number))
    recorder = Recorder(tmp_path, "20300101-000000-down", Masker())
    recorder.event(RunStarted(command="down", cluster="demo", lanes=()))
    recorder.close()
    names = sorted(path.stem for path in tmp_path.iterdir())
    assert len(names) == KEPT
    assert names[-1] == "20300101-000000-down"
    assert names[0] == "20200101-000004-up"


def test_a_run_goes_on_where_nothing_can_be_recorded(run: Run, state: Path) -> None:
    state.mkdir(parents=True)
    (state / "runs").write_text("a file where the directory should be")
    result = run(*UP)
    assert result.exit_code == 0
    assert "the run is not recorded: " in result.stderr


def test_a_recording_is_whole_up_to_a_kill(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "killed", Masker())
    recorder.event(Told(message="before the run"))
    recorder.event(RunStarted(command="up", cluster="demo", lanes=(("a", 1),)))
    recorder.event(Told(message="hello"))
    text = (tmp_path / "killed.jsonl").read_text()
    assert [json.loads(line)["event"] for line in text.splitlines()] == ["recorded", "run_started", "told"]
    recorder.close()


@pytest.mark.parametrize("command", [UP, ("down", "--cluster", "demo", "--yes")])
def test_a_trace_has_the_machines_as_threads(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    run(*UP)
    run("down", "--cluster", "demo", "--yes") if command == UP else None
    assert run(*command, "--trace", "trace.json").exit_code == 0
    trace = json.loads((tmp_path / "trace.json").read_text())
    names = [event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"]
    assert {"demo-cp-1", "demo-workers-1"} <= set(names)
    assert trace["otherData"]["command"] == command[0]


def test_trace_and_page_are_the_users_alone_and_go_through_no_link(run: Run, tmp_path: Path) -> None:
    """In a directory that others may write into, a link of theirs had the user's own file replaced."""
    victim = tmp_path / ".bashrc"
    victim.write_text("mine\n")
    umask = os.umask(0o022)
    try:
        for name in ("trace.json", "page.html"):
            (tmp_path / name).symlink_to(victim)
        assert run(*UP, "--trace", "trace.json").exit_code == 0
        assert run("report", "-o", "page.html").exit_code == 0
    finally:
        os.umask(umask)
    assert victim.read_text() == "mine\n"
    for name in ("trace.json", "page.html"):
        found = (tmp_path / name).lstat()
        assert stat.S_ISREG(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o600


def test_a_trace_may_go_into_a_pipe(run: Run, tmp_path: Path) -> None:
    """And is not put in its place: as root, that would be the end of /dev/null."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run(*UP, "--trace", "pipe").exit_code == 0
        assert json.loads(os.read(reader, 1 << 20))["traceEvents"]
        assert stat.S_ISFIFO(pipe.stat().st_mode)
    finally:
        os.close(reader)


def test_a_failed_run_has_a_trace_too(run: Run, world: World, tmp_path: Path) -> None:
    world.fail_clone.add("demo-workers-1")
    assert run(*UP, "--trace", str(tmp_path / "trace.json")).exit_code == 1
    trace = json.loads((tmp_path / "trace.json").read_text())
    outcomes = [event["args"]["outcome"] for event in trace["traceEvents"] if event.get("cat") == "clone"]
    assert sorted(outcomes) == ["changed", "failed"]


def test_a_trace_into_a_missing_directory_is_refused_before_anything_is_touched(run: Run, world: World) -> None:
    result = run(*UP, "--trace", "no/such/trace.json")
    assert (result.exit_code, world.vms) == (2, {})
    assert "there is no directory no/such" in result.stderr


def test_report_writes_the_newest_runs_page(run: Run, state: Path, tmp_path: Path) -> None:
    run(*UP)
    result = run("report", "--open", "no")
    assert result.exit_code == 0
    page = tmp_path / result.stdout.strip()
    assert page.name == f"{recorded(state)[0].stem}.html"
    assert "Critical path" in page.read_text()
    to_stdout = run("report", recorded(state)[0].stem[:8], "-o", "-")
    assert to_stdout.stdout == page.read_text()


def test_report_without_a_run_says_how_to_get_one(run: Run) -> None:
    result = run("report")
    assert result.exit_code == 1
    assert "no run is recorded in " in result.stderr
    assert "`homelab-k8s up` records a run" in result.stderr


def test_a_run_is_found_by_how_its_name_begins(tmp_path: Path) -> None:
    for number, name in enumerate(("20300101-1-up", "20300101-1-up.1", "20300102-2-down")):
        (tmp_path / f"{name}.jsonl").touch()
        os.utime(tmp_path / f"{name}.jsonl", (number, number))
    found = {name: find_recording(name, tmp_path).stem for name in (None, "20300102", "20300101-1-up")}
    assert found == {None: "20300102-2-down", "20300102": "20300102-2-down", "20300101-1-up": "20300101-1-up"}
    with pytest.raises(UsageError, match="several runs start with 2030"):
        find_recording("2030", tmp_path)
    with pytest.raises(UsageError, match="no run starts with yesterday"):
        find_recording("yesterday", tmp_path)


def test_a_file_that_is_no_recording_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("hello\nworld\n")
    result = run("report", "./x.jsonl")
    assert result.exit_code == 1
    assert "x.jsonl: this is not a recorded run" in result.stderr
    assert "cannot read" in run("report", "./missing.jsonl").stderr
