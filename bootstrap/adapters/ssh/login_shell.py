"""Command lines for login shells, and which part of the output belongs to the script.

sshd passes each command to the user's own shell, and starts SFTP's program with it, too. That may be fish or csh, and
its start-up files may print: bash reads ~/.bashrc when sshd starts it. So the command line has only words that every
shell reads alike, and output before the mark is not the script's.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bootstrap.adapters.ssh.command import Ended, execute
from bootstrap.advice import Advice
from bootstrap.errors import GuestSetupError, head_and_tail
from bootstrap.model.ids import MachineName

if TYPE_CHECKING:
    import paramiko

MARK = "homelab-k8s:begin"
_UNRESOLVED = re.compile(r"^sudo: unable to resolve host .*\n?", re.MULTILINE)
"""What sudo says first, and goes on, where the machine's own name is not in its /etc/hosts."""
_NOT_ALIKE = re.compile(r"['\\!\n\r]")
"""Characters that shells read differently within single quotes: `\\` in fish, `!` and line ends in csh."""
_SILENT_S = 120.0
_HIDDEN = (
    "let only interactive shells print; for bash, as the first line of ~{user}/.bashrc there or in the template:\n"
    "case $- in *i*) ;; *) return ;; esac"
)


def script_line(directory: str, script: str, values: Sequence[tuple[str, str]], *, sudo: bool) -> str:
    """The command line that runs a script as root.

    Args:
        directory: Where it is, below the home directory.
        script: Its file name.
        values: Its parameters.
        sudo: Whether it takes sudo to become root.
    """
    env = " ".join(f"{name}={shlex.quote(value)}" for name, value in values)
    marked = f'sh -c "echo {MARK}; echo {MARK} >&2; exec sh ./{script}"'
    # Without LC_ALL sudo uses the machine's own language. What cd prints (CDPATH) comes before the mark.
    root = "sudo -n -u root " if sudo else ""  # sudoers may have another user as its default
    return in_sh(f'LC_ALL=C; export LC_ALL; cd "$HOME/{directory}" && exec {root}env {env} {marked}')


def in_sh(text: str) -> str:
    """Lines of POSIX shell as one command that every login shell reads alike."""
    if _NOT_ALIKE.search(text):
        text = f'eval "$(echo {base64.b64encode(text.encode()).decode()} | base64 -d)"'
    return f"exec /bin/sh -c '{text}'"


def ours(ended: Ended) -> Ended | None:
    """The script's own output, without the login shell's; None where the script was not reached."""
    _, marked, stdout = ended.stdout.partition(f"{MARK}\n")
    _, _, stderr = ended.stderr.rpartition(f"{MARK}\n")
    if not marked:
        return None
    return Ended(status=ended.status, stdout=stdout, stderr=stderr, endless=ended.endless)


def not_reached(machine: MachineName, user: str, ended: Ended) -> GuestSetupError:
    """The error for a command that ended before the script began: sudo refused, or the login shell did not run it."""
    said = head_and_tail(_UNRESOLVED.sub("", ended.stderr).strip() or ended.stdout.strip())
    if "sudo" not in said and not _is_noexec(said):
        return GuestSetupError(
            f"{machine}: the login shell of {user} does not run commands",
            details=said or f"it ended with status {ended.status} and printed nothing",
            resolution=Advice(
                "check its start-up files: `homelab-k8s ssh {}`; or give {} a shell as /bin/bash in the template",
                machine,
                user,
            ),
        )
    if _is_noexec(said):
        hint = f"take `Defaults noexec` out of sudoers there, or put `Defaults:{user} !noexec` beside it"
    elif "tty" in said:
        hint = f"remove `Defaults requiretty` from sudoers there, or put `Defaults:{user} !requiretty` beside it"
    else:
        hint = "use cloud-init's default user, or give the template's user `NOPASSWD:ALL` in /etc/sudoers.d"
    return GuestSetupError(f"{machine}: the login user cannot become root", details=said, resolution=hint)


def _is_noexec(said: str) -> bool:
    """Whether sudo forbids its command to start others (noexec): env reports it."""
    return said.startswith("env:") and "Permission denied" in said


def open_sftp(transport: paramiko.Transport, machine: MachineName, user: str) -> paramiko.SFTPClient:
    """SFTP over a connection that is open.

    Raises:
        GuestSetupError: There is none, or the login shell breaks it by what it prints.
        SSHException, EOFError, OSError: The connection is lost.
    """
    from paramiko import SFTPClient, SSHException
    from paramiko.sftp import SFTPError

    channel = transport.open_session(timeout=_SILENT_S)
    channel.settimeout(_SILENT_S)
    try:
        channel.invoke_subsystem("sftp")
        return SFTPClient(channel)
    except (SFTPError, SSHException, EOFError) as error:
        channel.close()
        if not transport.is_active():
            raise
        raise _no_sftp(transport, machine, user, str(error)) from error


def _no_sftp(transport: paramiko.Transport, machine: MachineName, user: str, error: str) -> GuestSetupError:
    ended = execute(transport, in_sh(f"echo {MARK}"), timeout_s=_SILENT_S)
    if ours(ended) is None:
        return not_reached(machine, user, ended)
    printed = ended.stdout.partition(MARK)[0].strip()
    if printed:
        return GuestSetupError(
            f"{machine}: the login shell of {user} prints text in non-interactive sessions, which breaks SFTP",
            details=head_and_tail(printed),
            resolution=_HIDDEN.format(user=user),
        )
    return GuestSetupError(
        f"{machine}: its SSH server does no SFTP",
        details=error,
        resolution="add `Subsystem sftp internal-sftp` to the template's /etc/ssh/sshd_config",
    )
