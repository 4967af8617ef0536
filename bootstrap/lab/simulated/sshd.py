"""A simulated guest's sshd: key login, SFTP, and known commands."""

from __future__ import annotations

import asyncio
import logging
from ipaddress import IPv4Address

import asyncssh

from bootstrap.lab.simulated.machine.calls import Outcome
from bootstrap.lab.simulated.machine.machine import Machine
from bootstrap.lab.simulated.scripts.commands import execute

UPLOAD = b"/k3s.bin"
"""The file whose upload takes as long as a real k3s binary's, though the stand-in is small."""

logger = logging.getLogger("bootstrap.lab.simulated")


class Sshd:
    """Listens for one guest."""

    def __init__(self, guest: Machine) -> None:
        self.guest = guest
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self._acceptor: asyncssh.SSHAcceptor | None = None

    async def listen(self, address: IPv4Address, port: int, host_key: asyncssh.SSHKey) -> None:
        """Start."""
        self._acceptor = await asyncssh.listen(
            str(address),
            port,
            config=None,
            server_host_keys=[host_key],
            server_factory=lambda: _Login(self),
            process_factory=self._run,
            sftp_factory=lambda channel: _Files(channel, self.guest),
            encoding="utf-8",
            agent_forwarding=False,
            compression_algs=None,
            gss_host=None,
            x11_forwarding=False,
        )

    async def close(self) -> None:
        """Stop, and close all connections."""
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is not None:
            acceptor.close()
        for connection in list(self.connections):
            connection.abort()
        if acceptor is not None:
            await acceptor.wait_closed()

    async def _run(self, process: asyncssh.SSHServerProcess[str]) -> None:
        user = str(process.get_extra_info("username"))
        done = await self._outcome(process.command, user)
        if process.channel.is_closing():
            return  # the guest has been stopped
        process.stdout.write(done.out)
        process.stderr.write(done.err)
        process.exit(done.code)

    async def _outcome(self, command: str | None, user: str) -> Outcome:
        await self.guest.wait("command")
        done = await execute(self.guest, command or "", user=user)
        if done.unknown:
            logger.error("%s: %s", self.guest.name, done.err.strip().rpartition("\n")[2])
        return done


class _Login(asyncssh.SSHServer):
    def __init__(self, sshd: Sshd) -> None:
        self._sshd = sshd
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._sshd.connections.add(conn)
        if not self._sshd.guest.world.network.admits(conn.get_extra_info("peername")[0]):
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's contract
        if self._connection is not None:
            self._sshd.connections.discard(self._connection)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        guest = self._sshd.guest
        offered = " ".join(key.export_public_key().decode().split()[:2])
        return username == guest.user and offered in guest.keys and not guest.struck("key-refused")


class _Files(asyncssh.SFTPServer):
    """SFTP, confined to the login user's home directory."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], guest: Machine) -> None:
        self._guest = guest
        self._written = 0
        home = guest.disk.home(str(channel.get_extra_info("username")))
        super().__init__(channel, chroot=str(home).encode())

    def write(self, file_obj: object, offset: int, data: bytes) -> int | asyncio.Future[int]:
        guest = self._guest
        if guest.struck("disk-full"):
            raise asyncssh.SFTPFailure("No space left on device")
        self._written += len(data)
        if guest.world.faults.named("upload-cut"):
            self._cut()
        return super().write(file_obj, offset, data)  # type: ignore[return-value]

    def _cut(self) -> None:
        """Close the connection after this many bytes, if a fault says so."""
        cut = self._guest.world.faults.named("upload-cut")
        if any(self._written > fault.number("after_kib") * 1024 for fault in cut) and self._guest.struck("upload-cut"):
            self.channel.get_connection().abort()
            raise asyncssh.SFTPConnectionLost("simulated fault upload-cut")

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        if newpath.endswith(UPLOAD):
            await self._guest.wait("upload")
        result = super().posix_rename(oldpath, newpath)
        if result is not None:
            await result
