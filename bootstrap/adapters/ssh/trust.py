"""Whom SSH connections trust: a server with the expected host key, and none that lets anybody in."""

from __future__ import annotations

import contextlib
import threading

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

from bootstrap.errors import GuestSetupError, HostKeyError
from bootstrap.model.ids import MachineName

FINGERPRINT = "SHA256:"
"""How the fingerprint of a key begins, as `ssh-keygen -l` writes it."""


def expect(client: paramiko.SSHClient, machine: MachineName, host_key: str | None, *, name: str) -> None:
    """Have a client accept one host key alone.

    Args:
        client: Not connected yet.
        machine: For error texts.
        host_key: `ssh-ed25519 AAAA...`, or a key's fingerprint (`SHA256:...`); None accepts any.
        name: What the client looks keys up by: the address, `[address]:port` for a port other than 22.

    Raises:
        HostKeyError: `host_key` is no key; later, in `connect`, that the server has another one.
    """
    fingerprint = host_key if host_key is not None and host_key.startswith(FINGERPRINT) else None
    if host_key is not None and fingerprint is None:
        # Not by the policy: so paramiko asks the server for a key of this type, of the several that it may have.
        pinned = _parsed(machine, host_key)
        client.get_host_keys().add(name, pinned.get_name(), pinned)
    client.set_missing_host_key_policy(_Told(machine, fingerprint))


def shown(transport: paramiko.Transport) -> str:
    """The host key that a server has shown, as `type base64`."""
    key = transport.get_remote_server_key()
    return f"{key.get_name()} {key.get_base64()}"


def in_short(key: paramiko.PKey) -> str:
    """A key as a person compares it: `ssh-ed25519 SHA256:...`."""
    return f"{key.get_name()} {key.fingerprint}"


class OurKeyAlone:
    """As paramiko's `auth_strategy`: logs in with one key, once the server has said that it does not do without.

    To one that does, any key is as good as ours: that we are let in says nothing of who it is, or of who else is.
    OpenSSH does not count the question as an attempt to log in (`auth2.c`: input_userauth_request).
    """

    def __init__(self, machine: MachineName, *, user: str, key: paramiko.PKey) -> None:
        self._machine = machine
        self._user = user
        self._key = key

    def authenticate(self, transport: paramiko.Transport) -> None:
        """Log in.

        Raises:
            GuestSetupError: The server lets anybody in.
            AuthenticationException: It refuses the key, or that is not enough for it.
        """
        with contextlib.suppress(paramiko.BadAuthenticationType):  # as it should be: it names the ways that it takes
            transport.auth_none(self._user)
        if transport.is_authenticated():
            raise GuestSetupError(
                f"{self._machine}: the SSH server accepts {self._user} without any key",
                details="it requires no authentication, so nothing was sent",
                resolution="another machine may have this address; or PermitEmptyPasswords is on in its sshd_config",
            )
        handler = transport.auth_handler = _Again(transport)
        answered = threading.Event()
        handler.auth_publickey(self._user, self._key, answered)
        handler.wait_for_response(answered)
        if not transport.is_authenticated():
            raise paramiko.AuthenticationException("it accepts our key, but requires more")


class _Again(AuthHandler):
    """A further attempt on a connection: the service is there already, and is asked for once (RFC 4252, section 5)."""

    def _request_auth(self) -> None:
        accepted = paramiko.Message()
        accepted.add_string("ssh-userauth")
        accepted.rewind()
        self._parse_service_accept(accepted)  # type: ignore[attr-defined]  # the stubs have public names alone


class _Told(paramiko.MissingHostKeyPolicy):
    """Compares with a fingerprint, where there is one."""

    def __init__(self, machine: MachineName, fingerprint: str | None) -> None:
        self._machine = machine
        self._fingerprint = fingerprint

    def missing_host_key(self, _client: paramiko.SSHClient, _hostname: str, key: paramiko.PKey) -> None:
        """Raise HostKeyError for a key with another fingerprint."""
        if self._fingerprint not in (None, key.fingerprint):
            raise other_key(self._machine, expected=str(self._fingerprint), found=in_short(key))


def other_key(machine: MachineName, *, expected: str, found: str) -> HostKeyError:
    """The error for a server with another host key than the expected one."""
    return HostKeyError(
        f"{machine}: the SSH host key is not the expected one",
        details=f"expected {expected}\nfound {found}",
        resolution="another machine may have this address: look for a duplicate address or an old DHCP lease",
    )


def _parsed(machine: MachineName, host_key: str) -> paramiko.PKey:
    try:
        entry = HostKeyEntry.from_line(f"any {host_key}")
    except (InvalidHostKey, paramiko.SSHException, ValueError):
        entry = None
    if entry is None or entry.key is None:
        raise HostKeyError(f"{machine}: its host key cannot be read", details=host_key)
    return entry.key
