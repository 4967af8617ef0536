"""The user's SSH agent: it signs with the one key whose file is not enough. Imports paramiko: import it late.

It is used for nothing else, and is not forwarded to machines.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
from collections.abc import Iterator
from typing import Any

from paramiko import Message, SSHException
from paramiko.agent import AgentKey, AgentSSH

from bootstrap.adapters.ssh.keys import KeyFile, no_use
from bootstrap.errors import GuestSetupError

_SOCKET = "SSH_AUTH_SOCK"
_ANSWERS_WITHIN_S = 60.0
"""An agent may ask its user first (`ssh-add -c`), and a security key wants to be touched."""


class _Agent(AgentSSH):
    """Like paramiko's own, with a timeout.

    Attributes:
        running: Whether there is one.
    """

    def __init__(self) -> None:
        super().__init__()
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(os.environ.get(_SOCKET, ""))
        except OSError:
            connection.close()
            self.running = False
            return
        self.running = True
        connection.settimeout(_ANSWERS_WITHIN_S)
        self._connect(connection)  # type: ignore[attr-defined]  # the stubs have public names alone

    def close(self) -> None:
        """Hang up."""
        self._close()  # type: ignore[attr-defined]


class _Signer(AgentKey):
    """A key that the agent holds."""

    def sign_ssh_data(self, data: Any, algorithm: str | None = None) -> Message:  # noqa: ANN401 - as paramiko has it
        """Have the agent sign. Raises GuestSetupError: asking again would ask the user again."""
        try:
            return super().sign_ssh_data(data, algorithm)
        except (OSError, SSHException) as error:
            raise GuestSetupError(
                "the SSH agent does not sign with our key",
                details=f"{self.get_name()}: {error}",
                resolution="it may be locked (unlock: `ssh-add -X`), the request was denied, or the security key was "
                "not touched in time",
            ) from error


@contextlib.contextmanager
def signer(key: KeyFile) -> Iterator[AgentKey]:
    """A key that the agent signs with, over a connection of its own: an agent's answers come in order.

    Raises:
        PreflightError: No agent runs, or it does not hold the key.
    """
    agent = _connected(key)
    try:
        held = next((each for each in agent.get_keys() if each.blob == key.blob), None)
        if held is None:
            raise no_use(key.path, f"{key.locked}, and it is not loaded in the SSH agent", _add(key))
        yield _Signer(agent, held.blob)
    finally:
        agent.close()


def _connected(key: KeyFile) -> _Agent:
    try:
        agent = _Agent()
    except (OSError, SSHException) as error:
        raise no_use(key.path, f"{key.locked}, and the SSH agent does not answer: {error}", _add(key)) from error
    if agent.running:
        return agent
    where = os.environ.get(_SOCKET)
    why = (
        f"nothing listens at $SSH_AUTH_SOCK ({where})"
        if where
        else "no SSH agent is running (SSH_AUTH_SOCK is not set)"
    )
    raise no_use(key.path, f"{key.locked}, and {why}", f'eval "$(ssh-agent)" && {_add(key)}')


def _add(key: KeyFile) -> str:
    return f"ssh-add {shlex.quote(str(key.path))}"
