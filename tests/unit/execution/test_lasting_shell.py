"""A lost SSH connection: what only reads is run again over a new one, what changes something is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bootstrap.errors import SshUnreachableError
from bootstrap.execution.lasting_shell import ATTEMPTS, READS, LastingShell
from bootstrap.ports import CommandOutcome, GuestScript

GUEST_SCRIPTS = Path(__file__).parents[3] / "bootstrap" / "data" / "guest"


@dataclass
class Machine:
    """A machine whose connection is lost while it does something, as often as `losses` says."""

    losses: int
    done: list[str] = field(default_factory=list)
    logins: int = 0
    closed: int = 0
    host_key: str = "ssh-ed25519 AAAA"

    def _act(self, what: str) -> str:
        self.done.append(what)
        if len(self.done) <= self.losses:
            raise SshUnreachableError(f"the connection was lost during {what}")
        return f"answer to {what}"

    def run(self, script: GuestScript, *, timeout_s: float) -> str:
        return self._act(script.name)

    def upload(self, source: Path, *, name: str) -> None:
        self._act(f"upload {name}")

    def download(self, name: str, *, target: Path) -> None:
        self._act(f"download {name}")

    def command(self, command: str, *, timeout_s: float) -> CommandOutcome:
        return CommandOutcome(status=0, stdout=self._act(command), stderr="")

    def close(self) -> None:
        self.closed += 1


def lasting(machine: Machine, warnings: list[str]) -> LastingShell:
    def connect() -> Machine:
        machine.logins += 1
        return machine

    return LastingShell(machine, connect=connect, warn=warnings.append)


@pytest.mark.parametrize("name", sorted(READS))
def test_a_script_that_only_reads_is_run_again_over_a_new_connection(name: str) -> None:
    machine, warnings = Machine(losses=ATTEMPTS - 1), list[str]()
    assert lasting(machine, warnings).run(GuestScript(name=name), timeout_s=1.0) == f"answer to {name}"
    assert machine.done == [name] * ATTEMPTS
    assert (machine.logins, machine.closed, len(warnings)) == (ATTEMPTS - 1, ATTEMPTS - 1, ATTEMPTS - 1)


def test_a_connection_that_is_lost_each_time_is_an_error() -> None:
    machine = Machine(losses=99)
    with pytest.raises(SshUnreachableError, match=r"lost during facts\.sh"):
        lasting(machine, []).run(GuestScript(name="facts.sh"), timeout_s=1.0)
    assert len(machine.done) == ATTEMPTS


def test_files_are_sent_and_fetched_again(tmp_path: Path) -> None:
    machine = Machine(losses=1)
    lasting(machine, []).upload(tmp_path / "k3s", name="k3s.bin")
    assert machine.done == ["upload k3s.bin"] * 2
    machine = Machine(losses=1)
    lasting(machine, []).download("snapshot.out", target=tmp_path / "snapshot")
    assert machine.done == ["download snapshot.out"] * 2


@pytest.mark.parametrize("name", sorted({path.name for path in GUEST_SCRIPTS.glob("*.sh")} - READS))
def test_a_script_that_changes_something_is_run_once(name: str) -> None:
    """The first one may still be at work when its connection is gone."""
    machine = Machine(losses=1)
    with pytest.raises(SshUnreachableError):
        lasting(machine, []).run(GuestScript(name=name), timeout_s=1.0)
    assert (machine.done, machine.logins) == ([name], 0)


def test_a_users_command_is_run_once() -> None:
    machine = Machine(losses=1)
    with pytest.raises(SshUnreachableError):
        lasting(machine, []).command("reboot", timeout_s=1.0)
    assert machine.done == ["reboot"]


@pytest.mark.parametrize("name", sorted(READS))
def test_scripts_that_are_run_again_write_nothing(name: str) -> None:
    text = (GUEST_SCRIPTS / name).read_text()
    for word in ("mv ", "rm ", "cp ", "systemctl start", "systemctl stop", "systemctl restart", "install ", "mkdir "):
        assert word not in text, f"{name} changes something: {word}"
