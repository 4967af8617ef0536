"""Guests over SSH, with Fabric."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import re
import secrets
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootstrap.adapters.calls import calling
from bootstrap.adapters.local.download_target import LocalFile, local_file
from bootstrap.adapters.local.guest_files import files_for, guest_file
from bootstrap.adapters.ssh.command import Ended, execute
from bootstrap.adapters.ssh.errors import MORE_DISK, converted, raise_for_endless, raise_for_status
from bootstrap.adapters.ssh.keys import KeyFile, make_key_pair, openssh_form, read_key
from bootstrap.adapters.ssh.login_shell import not_reached, open_sftp, ours, script_line
from bootstrap.adapters.ssh.sftp_copy import MOST_BYTES, copy_file
from bootstrap.advice import Advice
from bootstrap.errors import GuestError, ScriptError, SshUnreachableError, head_and_tail
from bootstrap.model.ids import MachineName
from bootstrap.ports import CommandOutcome, GuestScript
from bootstrap.records.state.host_key import known_hosts_name

if TYPE_CHECKING:
    import paramiko

    from bootstrap.adapters.jump.ways import Ways

DIRECTORY = ".homelab-k8s"
"""Where scripts and uploads go, in the login user's home directory, mode 0700."""

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_REMOTE_NAME = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._+-]*/)?[A-Za-z0-9][A-Za-z0-9._+-]*")
_TIMED_OUT = 124
"""The status timeout(1) gives a command that took too long."""
_KEEPALIVE_S = 5
_WAKE_S = 1.0
"""How often paramiko's thread looks after an idle connection; its own 0.1 s cost 500 connections a fifth of a core."""
_CHUNK = 1 << 20


@cache
def _fabric() -> Any:  # noqa: ANN401 - Fabric has no types
    """Fabric, imported on first use (0.2 s), without what it or paramiko would say on standard error."""
    # With a null handler Python does not print paramiko's errors itself; a log file still gets them.
    for name in ("paramiko", "invoke", "fabric"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        # paramiko uses ciphers that cryptography has deprecated; users cannot change that.
        warnings.simplefilter("ignore")
        return importlib.import_module("fabric")


class FabricShells:
    """Logs in to guests with one private key; implements `bootstrap.ports.GuestShells`.

    Other keys of the user than this one are used only for jump hosts. Their SSH agent is used only where the key's file
    is not enough (a passphrase, a security key).

    Args:
        private_key: File of an ed25519, rsa or ecdsa key.
        make: Create that key (ed25519) if it is missing, once it is needed: the cluster's own key.
        port: Where guests' SSH listens.
        ways: Knows the jump hosts; None for direct connections.
    """

    def __init__(self, private_key: Path, *, make: bool = False, port: int = 22, ways: Ways | None = None) -> None:
        self._ways = ways
        self._private_key = private_key.expanduser()
        self._make = make
        self._port = port
        self._key_lock = threading.Lock()
        self._making = threading.Lock()

    @cached_property
    def public_key(self) -> str:
        """The key's public half as one `authorized_keys` line. Raises PreflightError where it cannot be used."""
        return self._key.line

    def check(self) -> str:
        """See `bootstrap.ports.GuestShells.check`."""
        if self._make and not self._private_key.exists():
            return "a key is created together with the first machine"
        if "_key" in self.__dict__:  # it may be gone from the agent since
            del self.__dict__["_key"]
        return f"{self._private_key} ({self._key.kind}{', used through the SSH agent' if self._key.locked else ''})"

    @cached_property
    def _key(self) -> KeyFile:
        """The key file. Raises PreflightError where it cannot be used to log in."""
        if self._make:
            with self._making:  # lanes ask at the same time, and only one key may be created
                make_key_pair(self._private_key)
        key = read_key(self._private_key)
        if key.locked:
            from bootstrap.adapters.ssh.agent import signer

            with signer(key):
                pass  # checked before machines are created for it
        return key

    @cached_property
    def _loaded(self) -> paramiko.PKey:
        from paramiko import ECDSAKey, Ed25519Key, RSAKey

        # Not `PKey.from_path`: it does not read PKCS #8 of RSA and ECDSA (5.1), and offers a certificate beside the key
        # (id-cert.pub) in its place, while machines know only the key.
        kinds = {"ssh-ed25519": Ed25519Key, "ssh-rsa": RSAKey}
        kind: type[paramiko.PKey] = kinds.get(self._key.kind, ECDSAKey)
        return kind.from_private_key(io.StringIO(openssh_form(self._private_key)))

    @contextlib.contextmanager
    def _signer(self) -> Iterator[paramiko.PKey]:
        """The key to sign with, for the duration of a login."""
        with self._key_lock:  # reading a key is not thread-safe
            key = self._key
            loaded = None if key.locked else self._loaded
        if loaded is not None:
            yield loaded
            return
        from bootstrap.adapters.ssh.agent import signer

        with signer(key) as held:
            yield held

    def way(self, machine: MachineName, address: IPv4Address) -> tuple[str, ...]:
        """See `bootstrap.ports.GuestShells.way`."""
        return self._ways.options(machine, address) if self._ways else ()

    def connect(
        self, machine: MachineName, address: IPv4Address, *, user: str, host_key: str | None, timeout_s: float
    ) -> FabricShell:
        """Log in, see `bootstrap.ports.GuestShells.connect`."""
        with self._key_lock:  # importing it is not thread-safe
            fabric = _fabric()
        from paramiko import SSHConfig

        from bootstrap.adapters.jump.road import road
        from bootstrap.adapters.ssh import trust as ssh_trust
        from bootstrap.adapters.ssh.transport import bounded_transport

        deadline_s = time.monotonic() + timeout_s
        doing = f"log in to {user}@{address}"
        with self._signer() as key, converted(machine, doing), calling("ssh", f"{machine}: {doing}"):
            hops = self._ways.hops(str(address), machine=machine) if self._ways else ()
            sock, hang_up = road(machine, (str(address), self._port), hops, timeout_s=timeout_s)
            left_s = max(0.1, deadline_s - time.monotonic())
            connection = fabric.Connection(
                str(address),
                user=user,
                port=self._port,
                # Lazy, with an SSH configuration: Fabric's, Invoke's and OpenSSH's own files are not read.
                config=fabric.Config(lazy=True, ssh_config=SSHConfig()),
                forward_agent=False,
                connect_kwargs={
                    "sock": sock,
                    "transport_factory": bounded_transport,
                    "auth_strategy": ssh_trust.OurKeyAlone(machine, user=user, key=key),
                    "timeout": left_s,
                    "banner_timeout": left_s,
                    "auth_timeout": left_s,
                    "channel_timeout": left_s,
                },
            )
            name = known_hosts_name(str(address), self._port)
            try:
                ssh_trust.expect(connection.client, machine, host_key, name=name)
                connection.open()
            except BaseException:
                connection.client.close()
                hang_up()
                raise
        sock.settimeout(_WAKE_S)
        connection.transport.set_keepalive(_KEEPALIVE_S)
        host_key = ssh_trust.shown(connection.transport)
        return FabricShell(machine, connection, host_key=host_key, user=user, hang_up=hang_up)


class FabricShell:
    """One SSH connection; implements `bootstrap.ports.GuestShell`. Made by `FabricShells.connect`."""

    def __init__(
        self,
        machine: MachineName,
        connection: Any,  # noqa: ANN401 - Fabric has no types
        *,
        host_key: str,
        user: str,
        hang_up: Callable[[], None],
    ) -> None:
        self._hang_up = hang_up
        self.host_key = host_key
        self._machine = machine
        self._connection = connection
        self._user = user
        self._files: paramiko.SFTPClient | None = None
        self._lock = threading.Lock()
        self._id = secrets.token_hex(4)
        self._sent: set[str] = set()

    def run(self, script: GuestScript, *, timeout_s: float) -> str:
        """Run a script of `bootstrap/data/guest/` as root and return its stdout.

        Raises:
            ScriptError: It ended with a status other than 0 (124: not within `timeout_s`).
            GuestError: It printed more than `ssh_command.MOST_BYTES` and was stopped.
            SshUnreachableError: The connection was lost; the script may or may not have ended.
            GuestSetupError: The login user may not use sudo without a password, or its shell runs no commands.
        """
        with converted(self._machine, f"run {script.name}"):
            self._send(script)
            # Neither parameters nor files are logged: the name says what it does.
            ended = self._execute(self._command(script), script.name, shown=f"run {script.name}", timeout_s=timeout_s)
        if ended.status is None:
            raise ScriptError(
                f"{self._machine}: {script.name} did not end within {timeout_s:.0f} s",
                status=_TIMED_OUT,
                details=head_and_tail(f"{ended.stderr}\n{ended.stdout}"),
            )
        done = ours(ended)
        if done is None:
            raise not_reached(self._machine, self._user, ended)
        raise_for_status(self._machine, script.name, ended.status, stdout=done.stdout, stderr=done.stderr)
        return done.stdout

    def upload(self, source: Path, *, name: str) -> None:
        """Put a local file beside the scripts, see `bootstrap.ports.GuestShell.upload`.

        `name` may have one directory in it (`images/x.tar`). Raises OSError where `source` cannot be read.
        """
        with source.open("rb") as file, self._sending(name):
            self._ensure_directories(name)
            with self._replacing(name, pipelined=True) as target:
                while chunk := file.read(_CHUNK):
                    target.write(chunk)

    def download(self, name: str, *, target: Path) -> None:
        """Fetch a file that a script left beside the scripts, see `bootstrap.ports.GuestShell.download`.

        Raises HomelabError where `target` cannot be written.
        """
        part = target.with_name(f".{target.name}.{self._id}")
        with local_file(part) as file:
            doing = f"fetch {name}"
            with converted(self._machine, doing), self._lock, calling("ssh", f"{self._machine}: {doing}"):
                self._ensure_directories(name)
                arrived, size = self._fetch(name, file)
            if arrived != size:
                raise GuestError(
                    f"{self._machine}: {name} was not transferred completely", details=f"{arrived} of {size} bytes"
                )
            file.finish(target)

    def _fetch(self, name: str, file: LocalFile) -> tuple[int, int]:
        """Copy a file; returns the bytes that arrived, and its size."""
        try:
            source = self._sftp().open(f"{DIRECTORY}/{name}", "rb")
        except FileNotFoundError as error:
            raise GuestError(f"{self._machine}: there is no {name} beside its scripts", details=str(error)) from error
        with source:
            size = source.stat().st_size or 0
            if size > MOST_BYTES:
                raise GuestError(
                    f"{self._machine}: {name} is too large to download",
                    details=f"it has {size} bytes; the limit is {MOST_BYTES}",
                    resolution=Advice("check it there: `homelab-k8s ssh {}`", self._machine),
                )
            return copy_file(source, size, file), size

    def command(self, command: str, *, timeout_s: float) -> CommandOutcome:
        """Run a user's own command line, see `bootstrap.ports.GuestShell.command`."""
        with converted(self._machine, "run a command"):
            ended = self._execute(command, "the command", shown=command, timeout_s=timeout_s)
        if ended.status is None:
            raise SshUnreachableError(
                f"{self._machine}: the command did not end within {timeout_s:.0f} s",
                details=head_and_tail(f"{ended.stderr}\n{ended.stdout}"),
                resolution="allow more time; it may still be running there",
            )
        return CommandOutcome(status=ended.status, stdout=ended.stdout, stderr=ended.stderr)

    def close(self) -> None:
        """End the connection; safe to call twice."""
        # Not Fabric's own close: it does nothing where the other side has closed, and otherwise ends SFTP first.
        with contextlib.suppress(OSError):
            self._connection.transport.sock.shutdown(socket.SHUT_RDWR)  # paramiko's thread sees it at once
        self._connection.client.close()
        self._hang_up()

    def _execute(self, line: str, name: str, *, shown: str, timeout_s: float) -> Ended:
        """Run a command line to its end, or for `timeout_s`.

        Raises:
            GuestError: It printed too much and was stopped.
            SshUnreachableError: The connection was lost.
        """
        transport = self._connection.transport
        with calling("ssh", f"{self._machine}: {shown}") as call:
            ended = execute(transport, line, timeout_s=timeout_s)
            call.status = ended.shown
        # Without a status a signal has ended it, or time has run out, or the connection is gone.
        if ended.status in (None, -1) and not transport.is_active():
            cause = transport.get_exception()
            raise SshUnreachableError(f"{self._machine}: the connection was lost during {name}", details=str(cause))
        raise_for_endless(self._machine, name, ended)
        return ended

    def _sftp(self) -> paramiko.SFTPClient:
        if self._files is None:
            self._files = open_sftp(self._connection.transport, self._machine, self._user)
        return self._files

    def _command(self, script: GuestScript) -> str:
        for name, _ in script.env:
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} cannot name a script's parameter")
        values = (("LC_ALL", "C"), *script.env)
        return script_line(DIRECTORY, script.name, values, sudo=self._user != "root")

    def _send(self, script: GuestScript) -> None:
        with self._sending(script.name):
            missing = [name for name in files_for(script.name) if name not in self._sent]
            if missing or script.secret_files:
                self._ensure_directories("")
            for name in missing:
                with self._replacing(name, pipelined=False) as target:
                    target.write(guest_file(name))
                self._sent.add(name)
            for name, content in script.secret_files:
                self._ensure_directories(name)
                with self._replacing(name, pipelined=False) as target:
                    target.write(content.encode())

    @contextlib.contextmanager
    def _sending(self, what: str) -> Iterator[None]:
        """One transfer at a time; distinguishes a guest that refuses a file (full, read-only) from one that is gone."""
        with converted(self._machine, f"send {what}"), self._lock:
            try:
                yield
            except OSError as error:
                if self._connection.transport.is_active():
                    raise GuestError(
                        f"{self._machine}: the guest does not accept {what}",
                        details=str(error),
                        resolution=f"is its disk full or read-only? Then {MORE_DISK}",
                    ) from error
                raise

    def _ensure_directories(self, name: str) -> None:
        if name and not _REMOTE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a file on a guest")
        directories = [DIRECTORY]
        if "/" in name:
            directories.append(f"{DIRECTORY}/{name.partition('/')[0]}")
        for directory in directories:
            if directory not in self._sent:
                sftp = self._sftp()
                with contextlib.suppress(OSError):
                    # It exists already; where it could not be created, the next line fails.
                    sftp.mkdir(directory, 0o700)
                sftp.chmod(directory, 0o700)
                self._sent.add(directory)

    @contextlib.contextmanager
    def _replacing(self, name: str, *, pipelined: bool) -> Iterator[paramiko.SFTPFile]:
        """A file that is renamed to `name` once it is complete, so that no script reads a part; mode 0600.

        Pipelined: it does not wait for the answer to each 32 KiB; close() collects them all.
        """
        sftp = self._sftp()
        # Unique to this connection: another one may be sending the same file.
        temporary = f"{DIRECTORY}/.{name.replace('/', '_')}.{self._id}"
        with calling("ssh", f"{self._machine}: send {name}"), sftp.open(temporary, "wb") as file:
            file.chmod(0o600)
            file.set_pipelined(pipelined)
            yield file
            sent = file.tell()
        # An answer of "no space left" to a pipelined write can get lost.
        arrived = sftp.stat(temporary).st_size if pipelined else sent
        if arrived != sent:
            sftp.remove(temporary)
            raise GuestError(
                f"{self._machine}: {name} was not transferred completely",
                details=f"{arrived} of {sent} bytes are there",
                resolution="is its disk full? Set a larger one for the pool in the inventory, then replace the machine",
            )
        sftp.posix_rename(temporary, f"{DIRECTORY}/{name}")
