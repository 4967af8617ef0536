"""A real SSH server on loopback for the tests: asyncssh in a thread, commands run by the real `sh`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import signal
import subprocess
import threading
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

import asyncssh

T = TypeVar("T")

SUDO = """#!/bin/sh
# Stands in for sudo: the caller must say -n and whom; then it runs the rest, as whoever runs the tests.
[ "$1 $2 $3" = "-n -u root" ] || exit 99
shift 3
echo "$@" >>"$SUDO_LOG"
exec "$@"
"""
SUDO_WITH_PASSWORD = "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n"


def _transports(watched: Iterable[selectors.SelectorKey]) -> list[asyncio.WriteTransport]:
    """The transports among what an event loop watches."""
    handles = (handle for key in list(watched) for handle in key.data if handle is not None)
    owners = (getattr(handle._callback, "__self__", None) for handle in handles)
    return [owner for owner in owners if isinstance(owner, asyncio.WriteTransport)]


class SshGuest:
    """One guest: `home` is its user's home directory, `bin` comes first in its PATH.

    Args:
        root: An empty directory.
        authorized_key: The only key that may log in.
        host_key_type: Type of the server's one host key.
        admits_anybody: It asks for no authentication, as who wants to be told secrets does.

    Attributes:
        forwarded: Where it was asked to connect to.
        may_forward: Whether it does, as with AllowTcpForwarding.
        hung_up_on: How many commands were ended since the client closed their channel.
        lies: Sizes that SFTP's `stat` tells instead of the files' own, by file name.
        pads: Whether a file that is shorter than it claims goes on in zeros.
        asked: How many bytes SFTP was asked to read.
        login_shell: What commands and SFTP's program are started by.
        locale: Variables of the machine's language.
    """

    def __init__(
        self, root: Path, *, authorized_key: str, host_key_type: str = "ssh-ed25519", admits_anybody: bool = False
    ) -> None:
        self.forwarded: list[tuple[str, int]] = []
        self.may_forward = True
        self._admits_anybody = admits_anybody
        self.home = root / "home"
        self.bin = root / "bin"
        self.sudo_log = root / "sudo.log"
        self.hung_up_on = 0
        self.lies: dict[str, int] = {}
        self.pads = False
        self.asked = 0
        self.login_shell = "sh"
        self.locale = {"LANG": "de_DE.UTF-8"}
        for directory in (self.home, self.bin):
            directory.mkdir(parents=True)
        self.put_command("sudo", SUDO)
        self._host_key = asyncssh.generate_private_key(host_key_type)
        self._authorized = asyncssh.import_authorized_keys(authorized_key)
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sshd", daemon=True)
        self._thread.start()
        self._server = self._call(self._listen())
        self.port = self._server.get_port()
        self.host_key = self._host_key.export_public_key().decode().strip()

    @property
    def fingerprint(self) -> str:
        """Of its host key, as people compare it."""
        return self._host_key.get_fingerprint()

    def put_command(self, name: str, text: str) -> None:
        """Make a command of this text available to the guest."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def drop_connections(self) -> None:
        """Cut every connection, as a power failure would."""

        async def drop() -> None:
            for connection in list(self._connections):
                connection.abort()

        self._call(drop())

    def stop(self) -> None:
        """End the server; afterwards its port refuses."""

        async def close() -> None:
            self._server.close()
            # asyncio accepts a connection, and closes an aborted one, over several turns of the loop. Besides the
            # loop's own pipe nothing is to be open: a transport that is not closed is a warning in a later test.
            watched = self._loop._selector.get_map()  # type: ignore[attr-defined]
            await asyncio.sleep(0.05)
            for _ in range(200):
                for connection in list(self._connections):
                    connection.abort()
                for transport in _transports(watched.values()):  # one whose connection asyncssh does not know yet, too
                    transport.abort()
                if len(watched) <= 1:
                    break
                await asyncio.sleep(0.01)
            await self._server.wait_closed()  # from Python 3.12 on, of all connections too
            # Whatever serves the connections still has to hear of their end.
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 5)
            await asyncio.sleep(0.05)

        self._call(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.create_server(
            lambda: _Door(self, self._connections, admits_anybody=self._admits_anybody),
            "127.0.0.1",
            0,
            server_host_keys=[self._host_key],
            authorized_client_keys=self._authorized,
            process_factory=self._run,
            sftp_factory=lambda channel: _Files(channel, self),
            encoding=None,
        )

    @property
    def environment(self) -> dict[str, str]:
        """What programs get."""
        return {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "SUDO_LOG": str(self.sudo_log),
            **self.locale,
        }

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        child = await asyncio.create_subprocess_exec(
            self.login_shell,
            "-c",
            process.command or "exit 98",
            cwd=self.home,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        # Handed on as it comes, as sshd does: a command may print without end.
        streams = ((child.stdout, process.stdout), (child.stderr, process.stderr))
        ended = [asyncio.ensure_future(_hand_on(source, sink)) for source, sink in streams if source is not None]
        all_ended = asyncio.ensure_future(asyncio.wait(ended))
        hung_up = asyncio.ensure_future(process.channel.wait_closed())
        await asyncio.wait([all_ended, hung_up], return_when=asyncio.FIRST_COMPLETED)
        if hung_up.done() or process.channel.is_closing():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
                self.hung_up_on += 1
        await all_ended
        status = await child.wait()
        hung_up.cancel()
        if not process.channel.is_closing():
            process.exit(status)


async def _hand_on(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    while chunk := await source.read(1 << 16):
        with contextlib.suppress(BrokenPipeError, ConnectionError):  # the client has hung up: nobody reads it
            sink.write(chunk)
            await sink.drain()


class _Files(asyncssh.SFTPServer):
    """SFTP of a machine that may lie about how large its files are."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], guest: SshGuest) -> None:
        super().__init__(channel, chroot=bytes(guest.home))
        self._guest = guest
        # sshd starts its program by the login shell, whose start-up files may print into what the client reads.
        first = subprocess.run(
            [guest.login_shell, "-c", ":"], capture_output=True, check=False, cwd=guest.home, env=guest.environment
        )
        if first.stdout:
            channel.write(first.stdout)

    def fstat(self, file_obj: Any) -> Any:
        attributes = asyncssh.SFTPAttrs.from_local(os.fstat(file_obj.fileno()))
        attributes.size = self._guest.lies.get(Path(os.fsdecode(file_obj.name)).name, attributes.size)
        return attributes

    def read(self, file_obj: Any, offset: int, size: int) -> bytes:
        self._guest.asked += size
        data: bytes = super().read(file_obj, offset, size)  # type: ignore[assignment]
        return data.ljust(size, b"\0") if self._guest.pads else data


class _Door(asyncssh.SSHServer):
    def __init__(
        self,
        guest: SshGuest,
        connections: set[asyncssh.SSHServerConnection],
        *,
        admits_anybody: bool,
    ) -> None:
        self._guest = guest
        self._connections = connections
        self._admits_anybody = admits_anybody
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._connections.discard(self._connection)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        """As a jump host: goes there."""
        self._guest.forwarded.append((dest_host, dest_port))
        if not self._guest.may_forward:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "open failed")
        return True

    def begin_auth(self, username: str) -> bool:
        """Whether anyone who comes has to authenticate."""
        return not self._admits_anybody
