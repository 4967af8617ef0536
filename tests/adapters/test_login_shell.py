"""Login shells as they are found: they print, they are fish or csh, they speak German, sudo wants a terminal."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bootstrap.adapters.ssh.command import Ended
from bootstrap.adapters.ssh.fabric import FabricShell
from bootstrap.adapters.ssh.login_shell import in_sh, not_reached
from bootstrap.errors import GuestSetupError, ScriptError
from bootstrap.model.ids import MachineName
from bootstrap.ports import GuestScript
from tests.adapters.conftest import NASTY
from tests.adapters.sshd import SshGuest

PRINTS = """#!/bin/sh
# bash with a ~/.bashrc such as many have: it greets, warns, and goes elsewhere.
echo "Welcome, $USER!"; echo "machine_id=of the greeting"; echo "disk usage: 93 %" >&2; cd /
exec sh "$@"
"""
QUIET_FOR_SFTP = PRINTS.replace("#!/bin/sh", '#!/bin/sh\n[ "$2" = : ] && exit')
"""The same where sshd has SFTP within itself (`Subsystem sftp internal-sftp`)."""
NOLOGIN = """#!/bin/sh
[ "$2" = : ] && exit
echo 'This account is currently not available.'
exit 1
"""
GERMAN_SUDO = """#!/bin/sh
[ "$LC_ALL" = C ] || { echo "Entschuldigung" >&2; exit 1; }
cat "$0.says" >&2
exit 1
"""
SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "fish", "tcsh", "csh", "yash", "mksh")


def as_login_shell(guest: SshGuest, text: str) -> None:
    guest.put_command("login-shell", text)
    guest.login_shell = str(guest.bin / "login-shell")


def test_what_a_login_shell_prints_is_not_taken_for_a_scripts_answer(
    shell: FabricShell, guest: SshGuest, echo: GuestScript
) -> None:
    as_login_shell(guest, QUIET_FOR_SFTP)
    assert shell.run(echo, timeout_s=60) == f"{NASTY}|C"


def test_nor_for_its_complaint(shell: FabricShell, guest: SshGuest, echo: GuestScript) -> None:
    as_login_shell(guest, QUIET_FOR_SFTP)
    with pytest.raises(ScriptError) as caught:
        shell.run(GuestScript(name=echo.name, env=(("VALUE", ""), ("STATUS", "3"))), timeout_s=60)
    assert (caught.value.status, caught.value.details) == (3, "no")


def test_where_that_breaks_sftp_it_is_told_with_what_is_printed_and_what_helps(
    shell: FabricShell, guest: SshGuest
) -> None:
    """It ended in a traceback: `Garbage packet received`."""
    as_login_shell(guest, PRINTS)
    with pytest.raises(GuestSetupError, match="the login shell of debian prints text in") as caught:
        shell.run(GuestScript(name="facts.sh"), timeout_s=60)
    assert caught.value.details == "Welcome, !\nmachine_id=of the greeting"
    assert "case $- in *i*) ;; *) return ;; esac" in caught.value.resolution.splitlines()
    with pytest.raises(GuestSetupError, match="breaks SFTP"):
        shell.upload(Path(__file__), name="k3s.bin")


def test_an_account_without_a_shell_is_told(shell: FabricShell, guest: SshGuest) -> None:
    as_login_shell(guest, NOLOGIN)
    with pytest.raises(GuestSetupError, match="the login shell of debian does not run commands") as caught:
        shell.run(GuestScript(name="facts.sh"), timeout_s=60)
    assert caught.value.details == "This account is currently not available."


@pytest.mark.parametrize(
    ("says", "hint"),
    [
        ("sudo: sorry, you must have a tty to run sudo", "!requiretty"),
        ("sudo: a terminal is required to read the password", "NOPASSWD:ALL"),
        ("sudo: a password is required", "NOPASSWD:ALL"),
        ("debian is not in the sudoers file.\nsudo: exit", "NOPASSWD:ALL"),
        ("Sorry, user debian is not allowed to execute '/usr/bin/env LC_ALL=C' as root; see sudo -l", "NOPASSWD:ALL"),
        ("sh: 1: exec: sudo: not found", "NOPASSWD:ALL"),
        ("sudo: PAM account management error: Authentication token is no longer valid", "NOPASSWD:ALL"),
    ],
)
def test_whatever_sudo_asks_for_is_told_as_sudos(says: str, hint: str, shell: FabricShell, guest: SshGuest) -> None:
    guest.put_command("sudo", GERMAN_SUDO)
    guest.put_command("sudo.says", says)
    with pytest.raises(GuestSetupError, match="cannot become root") as caught:
        shell.run(GuestScript(name="facts.sh"), timeout_s=60)
    assert caught.value.details == says
    assert hint in caught.value.resolution


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_a_language_that_is_not_installed_is_nobodys_complaint(
    shell_name: str, shell: FabricShell, guest: SshGuest, echo: GuestScript
) -> None:
    """bash warns that it cannot change locale, and perl at length, wherever ssh hands LC_ALL on."""
    program = shutil.which(shell_name)
    if program is None:
        pytest.skip(f"there is no {shell_name} here")
    guest.login_shell = program
    guest.locale = {"LANG": "xx_XX.UTF-8", "LC_ALL": "xx_XX.UTF-8", "LANGUAGE": "xx"}
    assert shell.run(echo, timeout_s=60) == f"{NASTY}|C"
    with pytest.raises(ScriptError) as caught:
        shell.run(GuestScript(name=echo.name, env=(("VALUE", ""), ("STATUS", "3"))), timeout_s=60)
    assert (caught.value.status, caught.value.details) == (3, "no")


@pytest.mark.parametrize("name", SHELLS)
class TestEveryShell:
    def test_hands_our_lines_on_as_they_are(self, name: str, tmp_path: Path) -> None:
        program = shutil.which(name)
        if program is None:
            pytest.skip(f"there is no {name} here")
        for value in (NASTY, "plain", "$HOME", "a=b c"):
            text = f"printf %s '{value.replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))}'"
            line = [program, "-c", in_sh(text)]
            assert subprocess.run(line, capture_output=True, text=True, check=True, cwd=tmp_path).stdout == value

    def test_runs_a_script_with_its_parameters(
        self, name: str, shell: FabricShell, guest: SshGuest, echo: GuestScript
    ) -> None:
        program = shutil.which(name)
        if program is None:
            pytest.skip(f"there is no {name} here")
        guest.login_shell = program
        assert shell.run(echo, timeout_s=60) == f"{NASTY}|C"
        plain = GuestScript(name=echo.name, env=(("VALUE", "plain"), ("STATUS", "0")))
        assert shell.run(plain, timeout_s=60) == "plain|C"


def test_a_machine_that_does_not_know_its_own_name_gets_the_same_advice() -> None:
    """Seen on Debian 13, with sudo 1.9.16."""
    said = "sudo: unable to resolve host vm: Temporary failure in name resolution\nenv: 'sh': Permission denied\n"
    error = not_reached(MachineName("demo-cp-1"), "debian", Ended(status=126, stdout="", stderr=said))
    assert error.details == "env: 'sh': Permission denied"
    assert "Defaults:debian !noexec" in error.resolution
