"""The lab's jump host: simulated guests that have one accept connections from nowhere else.

It logs in with any key, since whoever runs the lab has it: what counts is that it is the only way. It forwards as
OpenSSH does, and its answers are in the same words (channels.c: channel_post_connecting).
"""

from __future__ import annotations

import asyncio
import os
from ipaddress import IPv4Address
from pathlib import Path

import asyncssh
from asyncssh.forward import SSHForwarder

from bootstrap.lab.options import LabJump

USER = "jump"
_CONNECT_S = 3.0
"""As long as Linux looks for a neighbour that does not answer."""


class JumpHost:
    """An SSH server that forwards.

    Args:
        address: Where it listens, and where guests see connections come from.
        port: Of its sshd.
        directory: Gets a key pair to log in with.

    Attributes:
        forwards: Whether it does, as with AllowTcpForwarding; tests change it.
        asked: Where it was asked to connect to.
    """

    def __init__(self, address: IPv4Address, port: int, directory: Path) -> None:
        self.address, self.port = address, port
        self.forwards = True
        self.asked: list[tuple[str, int]] = []
        self.identity = directory / "id_ed25519"
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()

    @property
    def info(self) -> LabJump:
        """What a client needs to know."""
        return LabJump(
            place=f"{USER}@{self.address}:{self.port}",
            host_key=self.host_key.get_fingerprint(),
            identity=str(self.identity),
        )

    async def open(self) -> None:
        """Write the key pair, and listen."""
        self.identity.parent.mkdir(parents=True, exist_ok=True)
        key = asyncssh.generate_private_key("ssh-ed25519")
        self.identity.touch(mode=0o600)
        self.identity.write_bytes(key.export_private_key())
        self._acceptor = await asyncssh.listen(
            str(self.address),
            self.port,
            config=None,
            server_host_keys=[self.host_key],
            server_factory=lambda: _Door(self, self._connections),
            encoding=None,
            agent_forwarding=False,
            x11_forwarding=False,
            gss_host=None,
        )

    async def close(self) -> None:
        """Stop, and close all connections."""
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is not None:
            acceptor.close()
        self.drop()
        if acceptor is not None:
            await acceptor.wait_closed()  # from Python 3.12 on, of all connections too

    def drop(self) -> None:
        """Close all connections, as a restart does."""
        for connection in list(self._connections):
            connection.abort()


class _Door(asyncssh.SSHServer):
    def __init__(self, host: JumpHost, connections: set[asyncssh.SSHServerConnection]) -> None:
        self._host = host
        self._connections = connections
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's contract
        if self._connection is not None:
            self._connections.discard(self._connection)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002
        return username == USER

    async def connection_requested(  # type: ignore[override]  # asyncssh awaits it, though its stub is not async
        self,
        dest_host: str,
        dest_port: int,
        orig_host: str,  # noqa: ARG002
        orig_port: int,  # noqa: ARG002
    ) -> SSHForwarder:
        host = self._host
        if not host.forwards:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "open failed")
        host.asked.append((dest_host, dest_port))
        try:
            connecting = asyncio.get_running_loop().create_connection(
                _Far, dest_host, dest_port, local_addr=(str(host.address), 0)
            )
            _, far = await asyncio.wait_for(connecting, _CONNECT_S)
        except OSError as error:
            said = os.strerror(error.errno) if error.errno else "Connection timed out"
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, said) from error
        return _Near(far)


class _Far(SSHForwarder):
    """The connection to the guest; it waits with what the guest says first."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.pause_reading()


class _Near(SSHForwarder):
    """The client's channel."""

    def session_started(self) -> None:
        if self._peer is None:
            self.close()  # the guest has hung up meanwhile
        else:
            self._peer.resume_reading()
