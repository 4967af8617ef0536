"""`ssh`, `exec` and `logs`: what is printed where, and what becomes of the process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bootstrap.ports import CommandOutcome
from tests.cli.conftest import Run
from tests.cli.test_process import started
from tests.fakes.world import World

UP = ("up", "--cluster", "demo", "--workers", "1")
SSH = """#!/bin/sh
printf '<%s>' "$@"
echo
for last; do :; done
case "$last" in kill) kill -PIPE $$ ;; esac
cat
exit 7
"""


@pytest.fixture
def ssh(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ssh that prints its arguments and what it reads, and ends with 7."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "ssh"
    program.write_text(SSH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


@pytest.mark.usefixtures("ssh")
def test_ssh_takes_the_place_of_the_process(tmp_path: Path) -> None:
    args = ("ssh", "cp-1", "--cluster", "demo", "--progress", "quiet", "--", "ls", "-l", "a b")
    with started("reached", *args) as process:
        out, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (7, "")
    assert out.startswith('<-p><22><-o><IdentityFile="state files/demo/id_ed25519"><-o><IdentitiesOnly=yes>')
    assert out.endswith("<debian@192.0.2.10><--><ls -l 'a b'>\n")
    (known_hosts,) = (tmp_path / "state files" / "demo").glob("known_hosts.*")
    assert known_hosts.read_text() == "demo-cp-1 ssh-ed25519 AAAA7000\n"


@pytest.mark.usefixtures("ssh")
def test_a_closed_pipe_ends_ssh_as_it_would_without_us() -> None:
    """Python ignores SIGPIPE, and a program it starts would, too."""
    with started("reached", "ssh", "cp-1", "--cluster", "demo", "--", "kill") as process:
        process.communicate(timeout=60)
    assert process.returncode == -13


@pytest.mark.usefixtures("ssh")
def test_logs_that_follow_are_left_to_ssh() -> None:
    with started("reached", "logs", "workers-1", "--cluster", "demo", "-f", "-n", "3") as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 7
    assert out.endswith("<sudo -n journalctl --no-pager --unit k3s-agent --lines 3 --follow>\n")


def test_without_ssh_on_this_computer_it_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    run(*UP)
    result = run("ssh", "cp-1", "--cluster", "demo")
    assert result.exit_code == 1
    assert "error: ssh is not installed on this computer" in result.stderr
    assert "apt install openssh-client" in result.stderr


def test_exec_prints_each_line_behind_its_machine(run: Run, world: World) -> None:
    run(*UP)
    world.answer = lambda _name, command: CommandOutcome(status=0, stdout=f"{command}\ntwo\n", stderr="hm\n")
    result = run("exec", "--cluster", "demo", "--", "echo", "a b")
    assert result.exit_code == 0
    assert sorted(result.stdout.splitlines()) == [
        "demo-cp-1  echo 'a b'",
        "demo-cp-1  two",
        "demo-workers-1  echo 'a b'",
        "demo-workers-1  two",
    ]
    assert sorted(result.stderr.splitlines()) == ["demo-cp-1  hm", "demo-workers-1  hm"]
    result = run("exec", "--cluster", "demo", "--pool", "workers", "--", "uptime | wc -l")
    assert result.stdout.splitlines()[0] == "demo-workers-1  uptime | wc -l"


def test_exec_fails_where_one_does_and_names_it(run: Run, world: World) -> None:
    run(*UP)
    world.answer = lambda name, _: CommandOutcome(status=int(name == "demo-cp-1"), stdout="x\n", stderr="")
    result = run("exec", "--cluster", "demo", "false")
    assert result.exit_code == 1
    assert sorted(result.stdout.splitlines()) == ["demo-cp-1  x", "demo-workers-1  x"]
    assert "error: the command failed on 1 of 2 machines" in result.stderr
    assert "  demo-cp-1: status 1" in result.stderr
    result = run("exec", "--cluster", "demo", "-o", "json", "false")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["machines"][0] == {
        "name": "demo-cp-1",
        "status": 1,
        "stdout": "x\n",
        "stderr": "",
        "problem": None,
    }


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("exec", "--pool", "workers", "--machine", "cp-1", "true"), "pass either a pool or machines"),
        (("exec", "--machine", "cp-9", "true"), "demo has no machine cp-9"),
        (("logs", "worker-1"), "did you mean workers-1?"),
        (("replace",), "pass either machines or a pool"),
    ],
)
def test_what_cannot_be_meant_exits_with_2(run: Run, args: tuple[str, ...], said: str) -> None:
    run(*UP)
    result = run(args[0], "--cluster", "demo", *args[1:])
    assert result.exit_code == 2
    assert said in result.stderr


def test_logs_go_to_stdout_as_they_are(run: Run, world: World) -> None:
    run(*UP)
    world.answer = lambda _name, command: CommandOutcome(status=0, stdout=f"{command}\n", stderr="")
    result = run("logs", "cp-1", "--cluster", "demo", "--since", "2h")
    assert (result.exit_code, result.stdout) == (
        0,
        "sudo -n journalctl --no-pager --unit k3s --lines 100 --since -2h\n",
    )
