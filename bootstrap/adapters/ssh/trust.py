"""Which SSH servers are trusted: those with the expected host key that require a login."""

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
    """Make a client accept only one host key.

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
        # Not in the policy: like this paramiko asks the server for its key of this type; it may have several.
        pinned = _parsed(machine, host_key)
        client.get_host_keys().add(name, pinned.get_name(), pinned)
    client.set_missing_host_key_policy(_Fingerprint(machine, fingerprint))


def shown(transport: paramiko.Transport) -> str:
    """The host key that a server has presented, as `type base64`."""
    key = transport.get_remote_server_key()
    return f"{key.get_name()} {key.get_base64()}"


def in_short(key: paramiko.PKey) -> str:
    """A key in the form that people compare: `ssh-ed25519 SHA256:...`."""
    return f"{key.get_name()} {key.fingerprint}"


class OurKeyAlone:
    """As paramiko's `auth_strategy`: logs in with one key, after the server has refused a login without one.

    A server that needs no key accepts any: a login there says nothing about which server it is, or who else may log in.
    OpenSSH does not count that first request as a login attempt (`auth2.c`: input_userauth_request).
    """

    def __init__(self, machine: MachineName, *, user: str, key: paramiko.PKey) -> None:
        self._machine = machine
        self._user = user
        self._key = key

    def authenticate(self, transport: paramiko.Transport) -> None:
        """Log in.

        Raises:
            GuestSetupError: The server requires no authentication.
            AuthenticationException: It refuses the key, or requires more than a key.
        """
        with contextlib.suppress(paramiko.BadAuthenticationType):  # expected: it names the methods that it accepts
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
    """A further attempt on a connection: the service was requested already, and only once (RFC 4252, section 5)."""

    def _request_auth(self) -> None:
        accepted = paramiko.Message()
        accepted.add_string("ssh-userauth")
        accepted.rewind()
        self._parse_service_accept(accepted)  # type: ignore[attr-defined]  # the stubs have public names alone


class _Fingerprint(paramiko.MissingHostKeyPolicy):
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
