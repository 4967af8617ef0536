"""Errors over SSH as HomelabErrors: transient ones and final ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bootstrap.adapters.ssh.command import MOST_BYTES, Ended
from bootstrap.advice import Advice
from bootstrap.errors import (
    GuestError,
    GuestSetupError,
    KeyRefusedError,
    ScriptError,
    SshUnreachableError,
    head_and_tail,
)
from bootstrap.model.ids import MachineName

_LOST = "check that the machine is up and reachable; see its console in Proxmox"
MORE_DISK = (
    "free some space on the machine's disk; or set a larger one for its pool in the inventory, then replace the machine"
)


@contextlib.contextmanager
def converted(machine: MachineName, doing: str) -> Iterator[None]:
    """Convert what paramiko, Fabric and the network raise.

    Args:
        machine: For the text.
        doing: What was tried, as it reads after "cannot": `log in to debian@192.0.2.7`.
    """
    import paramiko

    from bootstrap.adapters.ssh.trust import in_short, other_key

    brief = f"{machine}: cannot {doing}"
    try:
        yield
    except paramiko.BadHostKeyException as error:
        raise other_key(machine, expected=in_short(error.expected_key), found=in_short(error.key)) from error
    except paramiko.AuthenticationException as error:
        # Not final: sshd answers before cloud-init has installed the key; the caller decides how long to wait.
        raise KeyRefusedError(
            brief,
            details=f"the machine refused our SSH key: {error}",
            resolution="if this persists, cloud-init did not install the key: check the cloud-init drive and user",
        ) from error
    except (EOFError, OSError, paramiko.SSHException, paramiko.SFTPError) as error:
        # Server closed, refused, no route, timed out, no banner, channel refused: while a machine boots, all of it.
        said = str(error).rstrip(": ") or type(error).__name__
        raise SshUnreachableError(brief, details=said, resolution=_LOST) from error


def raise_for_status(machine: MachineName, script: str, status: int, *, stdout: str, stderr: str) -> None:
    """Raise for a status other than 0: GuestSetupError for a full disk, else ScriptError with the output's ends."""
    if status == 0:
        return
    said = stderr.strip() or stdout.strip()
    details = head_and_tail(said)
    if "No space left on device" in said:
        raise GuestSetupError(f"{machine}: its disk is full ({script})", details=details, resolution=MORE_DISK)
    ended = f"failed with status {status}" if status > 0 else "was ended by a signal"
    raise ScriptError(f"{machine}: {script} {ended}", status=status, details=details)


def raise_for_endless(machine: MachineName, doing: str, ended: Ended) -> None:
    """Raise GuestError for a command that was stopped because it printed too much."""
    if ended.endless:
        raise GuestError(
            f"{machine}: {doing} printed more than {MOST_BYTES >> 20} MiB and was stopped",
            details=head_and_tail(f"{ended.stderr}\n{ended.stdout}"),
            resolution=Advice("check the command there: `homelab-k8s ssh {}`; write long output to a file", machine),
        )
