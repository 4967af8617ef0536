"""Two lanes that fail: each one's cause is on the screen in every form, and all of it in the log."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from bootstrap.advice import Advice
from bootstrap.cli.views.tty import TtyView
from bootstrap.errors import HypervisorError, RunFailedError, TaskFailedError
from tests.cli.conftest import Run
from tests.fakes.world import World

CAUSES = {
    "demo-workers-1": "qemu-img: error while writing at byte 2147483648 of vm-7001-disk-0: No space left on device",
    "demo-workers-2": "kvm: Invalid CPU topology: maxcpus must be equal to or greater than smp: maxcpus (1) < smp (4)",
}
REST = 40


def failure(name: str) -> TaskFailedError:
    """A task that failed, with a long log after its cause."""
    rest = [f"line {number} of the log of {name}" for number in range(REST)]
    return TaskFailedError(
        f"cannot clone template 9000 to VM 7001 ({name}) on pve1",
        exit_status="exit code 1",
        details="\n".join([CAUSES[name], *rest]),
    )


def fail_two(world: World) -> None:
    def act(call: str) -> None:
        for name in CAUSES:
            if call == f"clone {name}":
                raise failure(name)

    world.on_call = act


def ended(result_stderr: str) -> str:
    """What is shown last, after all events."""
    return result_stderr[result_stderr.index("error: up of demo") :]


def test_plain_ends_with_the_cause_of_each_lane(run: Run, world: World) -> None:
    fail_two(world)
    result = run("up", "--cluster", "demo", "--workers", "2", "--progress", "plain")
    assert result.exit_code == 1
    lines = [line.strip() for line in ended(result.stderr).splitlines()]
    assert set(CAUSES.values()) <= set(lines)


def test_json_ends_with_the_cause_of_each_lane(run: Run, world: World) -> None:
    fail_two(world)
    result = run("up", "--cluster", "demo", "--workers", "2", "--progress", "json")
    last = json.loads(result.stderr.splitlines()[-1])
    assert (last["event"], last["kind"]) == ("error", "RunFailedError")
    assert all(cause in last["details"] for cause in CAUSES.values())


@pytest.mark.parametrize("progress", ["plain", "json", "quiet"])
def test_the_log_has_all_that_is_known_of_each_lane_at_its_end(
    run: Run, world: World, state: Path, progress: str
) -> None:
    fail_two(world)
    run("up", "--cluster", "demo", "--workers", "2", "--progress", progress)
    text = next((state / "logs").glob("*.log")).read_text()
    end = text[text.index("what failed:") :]
    for name, cause in CAUSES.items():
        assert cause in end
        assert f"line {REST - 1} of the log of {name}" in end


def test_a_terminal_of_80_columns_cuts_no_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    raw = io.BytesIO()
    view = TtyView(io.TextIOWrapper(raw, encoding="utf-8", write_through=True), colour=False)
    view.error(RunFailedError("up of demo failed", tuple((name, failure(name)) for name in CAUSES)), log=None)
    lines = [line.strip() for line in raw.getvalue().decode().splitlines()]
    assert set(CAUSES.values()) <= set(lines)
    assert len(lines) < 12, "a screen holds it"


def test_what_is_advised_for_several_lanes_can_be_pasted_and_is_said_once(run: Run, world: World) -> None:
    def act(call: str) -> None:
        for name in CAUSES:
            if call == f"clone {name}":
                raise HypervisorError(f"{name}: no", resolution=Advice("look there: `homelab-k8s ssh {}`", name))

    world.on_call = act
    shown = run("up", "--cluster", "demo", "--workers", "2", "--progress", "plain").stderr
    advice = [line.strip("→ ") for line in shown[shown.rindex("→") :].splitlines() if "ssh" in line]
    assert advice == ["look there: `homelab-k8s ssh --cluster demo demo-workers-1`"]
