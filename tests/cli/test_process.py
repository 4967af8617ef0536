"""What only a process shows: signals, terminals, pipes, and what a start costs."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
PROGRAM = Path(__file__).with_name("program.py")
UP = ("up", "--cluster", "demo", "--workers", "1", "--progress", "plain")


@contextmanager
def started(
    scenario: str, *args: str, stdin: int = subprocess.DEVNULL, session: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """The program; with `session` without this terminal, whose Ctrl-C nobody passes on."""
    command = [sys.executable, str(PROGRAM), scenario, *args]
    with subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=session,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_to(process: subprocess.Popen[str], mark: str) -> str:
    """What is on stderr up to a line that begins so."""
    assert process.stderr is not None
    told = ""
    for line in process.stderr:
        told += line
        if line.startswith(mark):
            return told
    raise AssertionError(told)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_ctrl_c_lets_running_steps_end_and_starts_nothing_new(state: Path, number: signal.Signals) -> None:
    with started("slow", *UP) as process:
        read_to(process, "MARK start demo-cp-1")
        process.send_signal(number)
        out, told = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "stopping: waiting for running steps to finish, nothing new starts" in told
    assert "demo-cp-1       start: power on … done" in told
    assert "boot: wait for the guest …" not in told
    assert "error: up of demo was interrupted" in told
    assert "→ `homelab-k8s up --cluster demo --workers 1` again continues from here" in told
    assert "Traceback" not in told


def test_the_second_ctrl_c_quits_at_once(state: Path) -> None:
    with started("stuck", *UP) as process:
        read_to(process, "MARK start demo-cp-1")
        process.send_signal(signal.SIGINT)
        told = read_to(process, "stopping")
        began_s = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - began_s < 30  # the step would take 60 s
    assert "Traceback" not in told + rest


def test_ctrl_c_before_anything_is_touched_ends_at_once(state: Path) -> None:
    with started("hanging", *UP) as process:
        read_to(process, "MARK observe")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "error: up was interrupted" in told
    assert "Traceback" not in told


def test_a_bug_is_one_line_and_a_log_with_the_traceback(state: Path) -> None:
    with started("broken", *UP) as process:
        out, told = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    log = next((state / "logs").glob("*-up.log"))
    assert told.splitlines()[-3:] == [
        "error: up stopped on an internal error: KeyError: 'maxcpu of demo'",
        "→ please report it, with the log",
        f"log: {log}",
    ]
    assert "Traceback" not in told
    assert "KeyError: 'maxcpu of demo'" in log.read_text()


def test_a_reader_that_goes_away_gets_no_traceback(state: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, str(PROGRAM), "built", "status", "--cluster", "demo", "--workers", "1"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "reading https://192.0.2.1:8006 …\n")


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ("demo\n", 0, "demo: 2 machines removed in"),
        ("dome\n", 1, "error: 'dome' is not demo: nothing was changed"),
        ("\x04", 130, "error: no input: nothing was changed"),
        ("\x03", 130, "error: no input: nothing was changed"),
    ],
)
def test_down_asks_for_the_clusters_name(state: Path, typed: str, code: int, said: str) -> None:
    told, exit_code = on_a_terminal(["built", "down", "--cluster", "demo"], answer=typed)
    assert "This removes 2 machines for good. Type the cluster's name (demo) to continue:" in " ".join(told.split())
    assert said in COLOURS.sub("", told)
    assert exit_code == code
    assert "Traceback" not in told


def test_the_live_view_leaves_one_line_per_lane_and_the_cursor(state: Path) -> None:
    told, exit_code = on_a_terminal(["slow", "up", "--cluster", "demo", "--workers", "1"])
    assert exit_code == 0
    assert "✓" in told
    assert "up demo" in told
    assert told.rindex("\x1b[?25h") > told.rindex("\x1b[?25l"), "the cursor is shown again"


def test_no_colour_means_none(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    told, _ = on_a_terminal(["slow", "up", "--cluster", "demo", "--workers", "1"])
    assert "✓" in told
    for colour in range(30, 38):
        assert f"[{colour}m" not in told


def on_a_terminal(args: list[str], *, answer: str = "") -> tuple[str, int]:
    """All that a terminal of 80 columns gets; the answer is typed at the question."""
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, str(PROGRAM), *args], environ)
    told = b""
    while True:
        if not select.select([terminal], [], [], SILENT_S)[0]:  # it asks something else than was expected
            os.kill(pid, signal.SIGKILL)
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux: the other side is closed
            break
        if not part:
            break
        told += part
        if answer and b"to continue:" in b" ".join(told.split()):  # it may go over two lines
            os.write(terminal, answer.encode())
            answer = ""
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return told.decode(errors="replace"), os.waitstatus_to_exitcode(status)


HEAVY = {
    *("rich", "yaml", "platformdirs", "keyring", "requests", "urllib3", "tenacity", "ssl", "asyncio"),
    *("paramiko", "fabric", "invoke", "kubernetes", "proxmoxer", "cryptography", "aiohttp", "fakepve"),
}


SILENT_S = 60
"""A program that says nothing for so long asks something, or hangs."""

MOST_MODULES = 350
"""What the interpreter, Typer and our own command line load; the time that takes is measured by `make bench`."""


@pytest.mark.parametrize(
    ("args", "environ"),
    [
        (["--help"], {}),
        (["up", "--help"], {}),
        ([], {"_HOMELAB_K8S_COMPLETE": "complete_bash", "COMP_WORDS": "homelab-k8s u", "COMP_CWORD": "1"}),
    ],
    ids=["help", "up --help", "completion"],
)
def test_help_and_completion_load_little(args: list[str], environ: dict[str, str]) -> None:
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: sys.stderr.write(' '.join(sorted(sys.modules))))\n"
        f"sys.argv = ['homelab-k8s', *{args!r}]\n"
        "from bootstrap.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    loaded = done.stderr.split()
    assert "up" in done.stdout
    assert HEAVY & {name.partition(".")[0] for name in loaded} == set()
    assert [name for name in loaded if name.startswith(("bootstrap.adapters", "bootstrap.lab"))] == []
    assert len(loaded) < MOST_MODULES
