"""A lost SSH connection: what only reads is run again over a new one, what changes something is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bootstrap.errors import GuestError, ScriptError, SshUnreachableError
from bootstrap.execution.guests.reconnecting_shell import ATTEMPTS, READS, REPEATED, ReconnectingShell
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


def lasting(machine: Machine, warnings: list[str]) -> ReconnectingShell:
    def connect() -> Machine:
        machine.logins += 1
        return machine

    return ReconnectingShell(machine, connect=connect, warn=warnings.append)


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


@dataclass
class Rebooting(Machine):
    """A machine that goes down while it runs a script for the first time, and comes up again or does not."""

    losses: int = 0
    during: str = "install-k3s.sh"
    reboots: bool = True
    status: int | None = None
    boot: str = "a-1"
    beside: set[str] = field(default_factory=set)

    def run(self, script: GuestScript, *, timeout_s: float) -> str:
        if script.name == "facts.sh":
            return f"arch=amd64\nboot={self.boot}\n"
        self.done.append(script.name)
        if script.name == self.during and self.done.count(script.name) == 1:
            self.boot = "b-1" if self.reboots else self.boot
            self.beside.clear()  # the script's trap has removed what lay beside it
            if self.status is not None:
                raise ScriptError(f"{script.name} was ended by a signal", status=self.status)
            raise SshUnreachableError(f"the connection was lost during {script.name}")
        if script.name == "install-k3s.sh" and not self.beside:
            raise GuestError("the k3s binary was not sent")
        return f"answer to {script.name}"

    def upload(self, source: Path, *, name: str) -> None:
        self.done.append(f"upload {name}")
        self.beside.add(name)


def followed(machine: Rebooting, warnings: list[str]) -> ReconnectingShell:
    def connect() -> Machine:
        machine.logins += 1
        return machine

    def settle(_shell: object) -> None:
        machine.done.append("settle")

    return ReconnectingShell(machine, connect=connect, warn=warnings.append, boot="a-1", settle=settle)


class TestAReboot:
    def test_while_k3s_is_installed_is_followed_with_one_line(self, tmp_path: Path) -> None:
        machine, warnings = Rebooting(), list[str]()
        shell = followed(machine, warnings)
        shell.upload(tmp_path / "k3s", name="k3s.bin")
        assert shell.run(GuestScript(name="install-k3s.sh"), timeout_s=1.0) == "answer to install-k3s.sh"
        assert machine.done == [
            *("upload k3s.bin", "install-k3s.sh"),
            *("settle", "upload k3s.bin", "install-k3s.sh"),
        ]
        assert warnings == ["it has rebooted; continuing"]

    @pytest.mark.parametrize("name", sorted(REPEATED - {"install-k3s.sh"}))
    def test_each_script_that_looks_first_is_run_again(self, name: str) -> None:
        machine = Rebooting(during=name)
        assert followed(machine, []).run(GuestScript(name=name), timeout_s=1.0) == f"answer to {name}"
        assert machine.done == [name, "settle", name]

    @pytest.mark.parametrize("status", [-1, 143])
    def test_sshd_may_have_time_to_tell_that_the_script_was_ended(self, status: int, tmp_path: Path) -> None:
        machine = Rebooting(status=status)
        shell = followed(machine, [])
        shell.upload(tmp_path / "k3s", name="k3s.bin")
        assert shell.run(GuestScript(name="install-k3s.sh"), timeout_s=1.0) == "answer to install-k3s.sh"

    @pytest.mark.parametrize("name", sorted(READS))
    def test_while_something_is_read_is_followed(self, name: str) -> None:
        machine, warnings = Rebooting(during=name), list[str]()
        followed(machine, warnings).run(GuestScript(name=name), timeout_s=1.0)
        assert machine.done == ([] if name == "facts.sh" else [name, "settle", name])

    def test_that_was_none_leaves_a_script_that_may_still_be_at_work_alone(self) -> None:
        machine = Rebooting(reboots=False)
        with pytest.raises(SshUnreachableError):
            followed(machine, []).run(GuestScript(name="install-k3s.sh"), timeout_s=1.0)
        assert machine.done == ["install-k3s.sh"]

    def test_does_not_have_other_scripts_run_again(self) -> None:
        machine = Rebooting(during="restore.sh")
        with pytest.raises(SshUnreachableError):
            followed(machine, []).run(GuestScript(name="restore.sh"), timeout_s=1.0)
        assert machine.done == ["restore.sh"]

    def test_a_script_that_fails_of_itself_is_no_reboot(self) -> None:
        machine = Rebooting(status=1)
        with pytest.raises(ScriptError):
            followed(machine, []).run(GuestScript(name="install-k3s.sh"), timeout_s=1.0)
        assert (machine.done, machine.logins) == (["install-k3s.sh"], 0)


def test_after_the_files_were_used_they_are_not_sent_again(tmp_path: Path) -> None:
    """They would be left lying there: 60 MiB."""
    machine = Rebooting(during="start-k3s.sh")
    shell = followed(machine, [])
    shell.upload(tmp_path / "k3s", name="k3s.bin")
    shell.run(GuestScript(name="install-k3s.sh"), timeout_s=1.0)
    shell.run(GuestScript(name="start-k3s.sh"), timeout_s=1.0)
    assert machine.done.count("upload k3s.bin") == 1
